"""How much of the known factors behind x a representation holds."""

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from sklearn.linear_model import RidgeCV
from sklearn.metrics import r2_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor

ALPHAS = np.logspace(-3, 3, 7)  # of the ridge, chosen by leave-one-out on train


def linear_r2(x: Tensor, factors: Tensor, x_test: Tensor, factors_test: Tensor) -> np.ndarray:
    """R^2 on test of each factor by ridge regression from standardised features, [F].

    x: [N, D], factors: [N, F]. 1 is perfect, 0 is the mean, and a factor that generalises badly is below it.
    """
    x, factors, x_test, factors_test = (t.double().cpu().numpy() for t in (x, factors, x_test, factors_test))
    fit = make_pipeline(StandardScaler(), RidgeCV(ALPHAS)).fit(x, factors)
    return r2_score(factors_test, fit.predict(x_test).reshape(factors_test.shape), multioutput="raw_values")


def mean_correlation(z: Tensor, factors: Tensor) -> float:
    """MCC: the mean absolute correlation of factors with the latents that suit them best, one latent a factor.

    z: [N, D], factors: [N, F]; a factor that is left without a latent, where D < F, counts 0.
    Source: Hyvarinen & Morioka 2016.
    """
    both = torch.cat([z, factors.to(z)], 1).double()
    both = both - both.mean(0)
    norms = both.norm(dim=0)
    both = torch.where(norms > 0, both / norms.clamp_min(torch.finfo(both.dtype).tiny), 0.0)
    correlation = (both[:, : z.shape[1]].T @ both[:, z.shape[1] :]).abs().cpu().numpy()  # [D, F]
    return float(correlation[linear_sum_assignment(correlation, maximize=True)].sum() / factors.shape[1])
