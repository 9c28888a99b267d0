"""The linear probe: a logistic regression to convergence, its penalty chosen on validation."""

import logging
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from ssvae_cli.errors import require, require_above, require_at_least
from ssvae_cli.evaluation.reading import SPLITS, Reading
from ssvae_cli.evaluation.rows import evenly_spaced

log = logging.getLogger(__name__)
EXACT = 4_000_000  # numbers in the features up to which float64 is quick
CURVATURE = 0.1  # of the cross-entropy, about p (1 - p); sets the speed and not the result
HISTORY = 20  # of L-BFGS


Labelled = tuple[Tensor, Tensor]  # features [N, F] and labels [N]; rows labelled below 0 are left out


class Fit(NamedTuple):
    """A penalty and the weights under it, [F + 1, classes] over the raw features, the last row the bias."""

    penalty: float
    weights: Tensor


class LinearProbe:
    """`probe/linear`: multinomial logistic regression on standardised features, an L2 penalty on the weights.

    Null where there are no labels. On test the baselines of the reading are probed too, `probe/linear/random_init` and
    `probe/linear/pixels`. penalties: of mean cross-entropy + penalty / 2 |W|^2; the best on validation is used, and for
    test the fit is repeated on train and validation together. compared: rows, at most, that penalties are compared on.
    tolerance: the largest entry of the gradient at which a fit ends.
    """

    def __init__(self, *, penalties: list[float], max_iterations: int, tolerance: float, compared: int):
        given = list(penalties)
        require(len(given) > 0 and min(given) > 0, f"penalties must all be above 0, got {given}")
        require_at_least(1, max_iterations=max_iterations, compared=compared)
        require_above(0, tolerance=tolerance)
        self.penalties, self.max_iterations, self.tolerance = given, max_iterations, tolerance
        self.compared = compared

    def __call__(self, reading: Reading, split: str) -> dict[str, float | None]:
        baselines = dict(reading.baselines()) if split == "test" else {}
        values = dict.fromkeys([f"probe/linear/{name}" for name in (split, *baselines)])
        if not reading.has_labels("train", "validation", split):
            return values

        def labelled(features: Callable[[str], Tensor]) -> list[Labelled]:
            return [(features(part), reading.labels(part)) for part in (SPLITS if split == "test" else SPLITS[:2])]

        rows = labelled(reading.features)
        chosen, right = reading.once((self, "choice"), lambda: self.choose(*rows[:2]))
        values[f"probe/linear/{split}"] = self.test(*rows, chosen) if split == "test" else right
        for name, features in baselines.items():
            if features is not None:
                rows = labelled(features)
                values[f"probe/linear/{name}"] = self.test(*rows, self.choose(*rows[:2])[0])
        return values

    def choose(self, train: Labelled, validation: Labelled) -> tuple[Fit, float]:
        """(the fit with the penalty that is best on validation, its accuracy there).

        The fits are to at most `compared` rows of train, evenly spread, each with a penalty raised by as much as the
        rows are fewer: |W|^2 then weighs against one row's cross-entropy what it does on all.
        """
        x, y = (side[train[1] >= 0] for side in train)
        classes, part = _classes(train, validation), evenly_spaced(len(x), self.compared, x.device)
        fewer = len(x) / len(part)
        fits = self.fit(x[part], y[part], classes, [penalty * fewer for penalty in self.penalties])
        scores = [accuracy(fit.weights, *validation) for fit in fits]
        best = fits[scores.index(max(scores))]
        return Fit(best.penalty / fewer, best.weights), max(scores)

    def test(self, train: Labelled, validation: Labelled, test: Labelled, chosen: Fit) -> float:
        """Accuracy on test of a fit to train and validation together, with the chosen penalty."""
        both = [torch.cat(pair) for pair in zip(train, validation)]
        (fit,) = self.fit(*both, _classes(train, validation), [chosen.penalty], start=chosen.weights)
        return accuracy(fit.weights, *test)

    @torch.no_grad()
    def fit(self, x: Tensor, y: Tensor, classes: int, penalties: list[float], start: Tensor | None = None) -> list[Fit]:
        """A fit for each penalty. start: weights to begin with, as a Fit has them; None: 0."""
        x, y = x[y >= 0], y[y >= 0]
        x = x.double() if x.numel() <= EXACT else x.float()
        mean, std = x.mean(0), x.std(0)
        std = torch.where(std > 1e-6 * std.max(), std, torch.ones_like(std))  # dead units stay zero
        x = (x - mean) / std
        # In the features' principal axes, where neither the fit nor the penalty changes, the curvature is about known.
        variance, axes = torch.linalg.eigh(x.T @ x / len(x))
        x = x @ axes
        w, b = x.new_zeros(classes, x.shape[1]), x.new_zeros(classes)
        if start is not None:
            raw, b = start[:-1].to(x), start[-1].to(x) + mean @ start[:-1].to(x)
            w = (raw * std[:, None]).T @ axes
        fits = []
        for penalty in sorted(penalties, reverse=True):
            # Strong to weak, each from the last: the weaker, the longer the way.
            scale = (CURVATURE * variance.clamp_min(0) + penalty).rsqrt()
            w, b = self._minimise(x, y, penalty, scale, w, b)
            raw = axes @ w.T / std[:, None]
            fits.append(Fit(penalty, torch.cat([raw, (b - mean @ raw)[None]])))
        return fits

    def _minimise(self, x: Tensor, y: Tensor, penalty: float, scale: Tensor, w: Tensor, b: Tensor):
        """(w [classes, F], b [classes]) by L-BFGS over w / scale."""
        v, b = (w / scale).requires_grad_(), b.clone().requires_grad_()
        lbfgs = torch.optim.LBFGS(
            [v, b],
            max_iter=self.max_iterations,
            history_size=HISTORY,
            tolerance_grad=self.tolerance * scale.min().item(),
            tolerance_change=0,
            line_search_fn="strong_wolfe",
        )

        def loss():
            lbfgs.zero_grad()
            w = scale * v
            value = F.cross_entropy(F.linear(x, w, b), y) + 0.5 * penalty * (w**2).sum()
            value.backward()
            return value

        with torch.enable_grad():
            lbfgs.step(loss)
        left = max((v.grad / scale).abs().max().item(), b.grad.abs().max().item())
        if left > 10 * self.tolerance:
            log.warning("the linear probe did not converge: gradient %.1e, tolerance %.1e", left, self.tolerance)
        return (scale * v).detach(), b.detach()


def _classes(*splits: Labelled) -> int:
    return int(max(labels.max() for _, labels in splits)) + 1


def accuracy(weights: Tensor, x: Tensor, y: Tensor) -> float:
    """The share of rows, labelled at least 0, that `weights` [F + 1, classes] gets right."""
    x, y = x[y >= 0].to(weights.dtype), y[y >= 0]
    return (x @ weights[:-1] + weights[-1]).argmax(1).eq(y).double().mean().item()
