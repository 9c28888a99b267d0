"""Disentanglement, completeness, informativeness of z for known factors (Eastwood & Williams 2018), by lasso."""

import math
import warnings
from typing import NamedTuple

import numpy as np

from ssvae_cli.tracking.missing import Missing

PENALTIES = np.logspace(0, -3, 10)  # times the least that leaves no weight; chosen on validation


class DCI(NamedTuple):
    """All at most 1, the best; Missing where there is nothing to divide."""

    disentanglement: float | Missing  # 1: each latent serves one factor
    completeness: float | Missing  # 1: each factor is served by one latent
    informativeness: float  # R^2 on test, a mean over the factors


def dci(z: dict[str, np.ndarray], targets: dict[str, list[np.ndarray]]) -> DCI:
    """z: [N, D] by split. targets: for each factor [N, k]: a number (k = 1), or the indicators of k classes.

    The importance of a latent for a factor is the size of its weight in a lasso on standardised z and targets, for
    classes the mean over their indicators.
    """
    weights, r2 = zip(*(lasso(z, {part: targets[part][j] for part in z}) for j in range(len(targets["train"]))))
    importance = np.stack([w.mean(1) for w in weights], 1)  # [D, F]
    return DCI(disentanglement(importance), completeness(importance), float(np.mean(r2)))


def disentanglement(importance: np.ndarray) -> float | Missing:
    """1 - the entropy, in units of log F, of the factors that a latent is important for; [D, F].
    The mean over latents weighs each by its importance."""
    if not importance.sum():
        return Missing("no latent predicts a factor linearly")
    if importance.shape[1] < 2:
        return Missing("one factor varies, and two are needed to tell them apart")
    return float((importance.sum(1) / importance.sum()) @ concentration(importance))


def completeness(importance: np.ndarray) -> float | Missing:
    """1 - the entropy, in units of log D, of the latents that are important for a factor; [D, F].
    The mean over factors leaves out those without an important latent."""
    served = importance.T[importance.sum(0) > 0]
    if not len(served):
        return Missing("no latent predicts a factor linearly")
    if importance.shape[0] < 2:
        return Missing("z has one dimension, and two are needed to tell them apart")
    return float(concentration(served).mean())


def concentration(importance: np.ndarray) -> np.ndarray:
    """1 - the entropy of each row's shares, in units of its maximum; 0 for a row of zeros. [N, K] -> [N]."""
    total = importance.sum(1, keepdims=True)
    shares = np.divide(importance, total, out=np.full_like(importance, 1 / importance.shape[1]), where=total > 0)
    logs = np.log(shares, out=np.zeros_like(shares), where=shares > 0)
    return 1 + (shares * logs).sum(1) / math.log(importance.shape[1])


def lasso(x: dict[str, np.ndarray], y: dict[str, np.ndarray]) -> tuple[np.ndarray, float]:
    """(|weights| [D, k] on standardised x and y, R^2 on test) of a lasso for each column of y, [N, k] by split."""
    from sklearn.exceptions import ConvergenceWarning  # slow to import, and needed only here
    from sklearn.linear_model import lasso_path

    standard = {name: standardised(side) for name, side in (("x", x), ("y", y))}
    (x, _), (y, scale) = standard["x"], standard["y"]
    gram, cross = x["train"].T @ x["train"], x["train"].T @ y["train"]
    weights = []
    for column in range(cross.shape[1]):
        target = y["train"][:, column]
        most = np.abs(cross[:, column]).max() / len(target)
        if most == 0:
            weights.append(np.zeros(len(gram)))
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # nearly the same weights, of equal latents
            path = lasso_path(x["train"], target, alphas=most * PENALTIES, precompute=gram, Xy=cross[:, column].copy())[
                1
            ]
        errors = ((y["validation"][:, [column]] - x["validation"] @ path) ** 2).mean(0)
        weights.append(path[:, errors.argmin()])
    weights = np.stack(weights, 1)
    left = ((y["test"] - x["test"] @ weights) * scale) ** 2
    spread = ((y["test"] - y["test"].mean(0)) * scale) ** 2
    return np.abs(weights), float(1 - left.sum() / spread.sum())


def standardised(parts: dict[str, np.ndarray]) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """(the parts with mean 0 and deviation 1 on train, a constant column 0; the deviations on train)."""
    mean, deviation = parts["train"].mean(0), parts["train"].std(0)
    divisor = np.where(deviation > 1e-12 * max(deviation.max(), 1e-300), deviation, 1.0)
    return {part: (values - mean) / divisor for part, values in parts.items()}, deviation
