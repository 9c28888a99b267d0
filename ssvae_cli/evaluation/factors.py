"""How well a representation predicts the known factors of x."""

import logging

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from sklearn.linear_model import RidgeCV
from sklearn.metrics import r2_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from ssvae_cli.evaluation.estimate import too_few_classes
from ssvae_cli.evaluation.linear_probe import LinearProbe
from ssvae_cli.evaluation.reading import SPLITS, Reading
from ssvae_cli.tracking.missing import Missing

log = logging.getLogger(__name__)
ALPHAS = np.logspace(-3, 3, 7)  # of the ridge, chosen by leave-one-out on train


class Factors:
    """How well features and z predict the data's known factors, on test; None where there are none.

    Numbers: ridge regression, `factors/r2` from features and `factors/r2_z` from z; `factors/mcc` of single latents.
    Categories: accuracy of the linear `probe` on features, `factors/accuracy`. Each is a mean over the factors that
    vary on train and on test.
    """

    def __init__(self, *, probe: LinearProbe):
        self.probe = probe

    @torch.no_grad()
    def __call__(self, reading: Reading, split: str) -> dict[str, float | Missing | None]:
        if split != "test":
            return {}
        values = dict.fromkeys(["factors/r2/test", "factors/r2_z/test", "factors/mcc/test", "factors/accuracy/test"])
        columns = reading.data.factors
        known = {part: reading.factors(part) for part in SPLITS} if columns else {}
        numbers = [i for i, factor in enumerate(columns) if factor.classes is None]
        faults = {i: constant_factor(known, i, columns[i].name) for i in numbers}
        if numbers and all(faults.values()):
            values |= dict.fromkeys(["factors/r2/test", "factors/r2_z/test", "factors/mcc/test"], faults[numbers[0]])
        numbers = [i for i in numbers if not faults[i]]
        if numbers:
            train, test = (known[part][:, numbers] for part in ("train", "test"))
            for key, x in {"factors/r2/test": reading.features, "factors/r2_z/test": reading.codes}.items():
                scores = linear_r2(x("train"), train, x("test"), test)
                log.info("%s  %s", key, "  ".join(f"{columns[i].name} {r2:.3f}" for i, r2 in zip(numbers, scores)))
                values[key] = float(scores.mean())
            values["factors/mcc/test"] = mean_correlation(reading.codes("test"), test)
        accuracies = []
        for i in (i for i, factor in enumerate(columns) if factor.classes is not None):
            labelled = [(reading.features(part), known[part][:, i].long()) for part in SPLITS]
            if fault := too_few_classes(*(labels for _, labels in labelled), "test"):
                faults[i] = values["factors/accuracy/test"] = Missing(f"factor {columns[i].name}: {fault.reason}")
                continue
            accuracies.append(self.probe.test(*labelled, self.probe.choose(*labelled[:2])[0]))
            log.info("factors/accuracy/test  %s %.3f", columns[i].name, accuracies[-1])
        if accuracies:
            values["factors/accuracy/test"] = sum(accuracies) / len(accuracies)
        for fault in filter(None, faults.values()):
            log.info("left out of factors/: %s", fault.reason)
        return values


def constant_factor(known: dict[str, Tensor], i: int, name: str) -> Missing | None:
    """Why column `i` of the factors by split, [N, F], cannot be predicted: it does not vary."""
    for part in ("train", "test"):
        if (known[part][:, i] == known[part][:1, i]).all():
            return Missing(f"factor {name} is constant on {part}")
    return None


def linear_r2(x: Tensor, factors: Tensor, x_test: Tensor, factors_test: Tensor) -> np.ndarray:
    """R^2 on test of each of the factors [N, F] by ridge regression from standardised x [N, D]; 0 predicts the mean."""
    x, factors, x_test, factors_test = (t.double().cpu().numpy() for t in (x, factors, x_test, factors_test))
    fit = make_pipeline(StandardScaler(), RidgeCV(ALPHAS)).fit(x, factors)
    return r2_score(factors_test, fit.predict(x_test).reshape(factors_test.shape), multioutput="raw_values")


def mean_correlation(z: Tensor, factors: Tensor) -> float:
    """MCC: the mean absolute correlation of factors and latents under the best assignment, one latent per factor.

    z: [N, D], factors: [N, F]; a factor without a latent (D < F) counts 0. Source: Hyvarinen & Morioka 2016."""
    both = torch.cat([z, factors.to(z)], 1).double()
    both = both - both.mean(0)
    norms = both.norm(dim=0)
    both = torch.where(norms > 0, both / norms.clamp_min(torch.finfo(both.dtype).tiny), 0.0)
    correlation = (both[:, : z.shape[1]].T @ both[:, z.shape[1] :]).abs().cpu().numpy()  # [D, F]
    return float(correlation[linear_sum_assignment(correlation, maximize=True)].sum() / factors.shape[1])
