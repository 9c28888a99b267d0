"""The linear probe: a logistic regression to convergence, its penalty chosen on validation."""

import logging

import torch
from torch import Tensor
from torch.nn import functional as F

from ssvae_cli.errors import require

log = logging.getLogger(__name__)
EXACT = 4_000_000  # numbers in the features up to which float64 is quick
CURVATURE = 0.1  # of the cross-entropy, about p (1 - p); sets the speed and not the result
HISTORY = 20  # of L-BFGS


Labelled = tuple[Tensor, Tensor]  # features [N, F] and labels [N]; rows labelled below 0 are left out


class LinearProbe:
    """Multinomial logistic regression on standardised features, with an L2 penalty on the weights.

    penalties: of mean cross-entropy + penalty / 2 |W|^2; the best on validation is used, and for test the fit is
    repeated on train and validation together. tolerance: the largest entry of the gradient at which a fit ends.
    """

    def __init__(self, *, penalties: list[float], max_iterations: int, tolerance: float):
        given = list(penalties)
        require(len(given) > 0 and min(given) > 0, f"probe.penalties must all be above 0, got {given}")
        require(max_iterations >= 1, f"probe.max_iterations must be at least 1, got {max_iterations}")
        require(tolerance > 0, f"probe.tolerance must be above 0, got {tolerance}")
        self.penalties, self.max_iterations, self.tolerance = given, max_iterations, tolerance

    def choose(self, train: Labelled, validation: Labelled) -> tuple[float, float]:
        """(the penalty that is best on validation, its accuracy there)."""
        fits = self.fit(*train, _classes(train, validation), self.penalties)
        scores = {penalty: accuracy(weights, *validation) for penalty, weights in fits.items()}
        best = max(scores, key=scores.get)
        return best, scores[best]

    def test(self, train: Labelled, validation: Labelled, test: Labelled, penalty: float) -> float:
        """Accuracy on test of a fit to train and validation together."""
        both = [torch.cat(pair) for pair in zip(train, validation)]
        return accuracy(self.fit(*both, _classes(train, validation), [penalty])[penalty], *test)

    @torch.no_grad()
    def fit(self, x: Tensor, y: Tensor, classes: int, penalties: list[float]) -> dict[float, Tensor]:
        """The weights for each penalty, [F + 1, classes] over the raw features, the last row the bias."""
        x, y = x[y >= 0], y[y >= 0]
        x = x.double() if x.numel() <= EXACT else x.float()
        mean, std = x.mean(0), x.std(0)
        std = torch.where(std > 1e-6 * std.max(), std, torch.ones_like(std))  # dead units stay zero
        x = (x - mean) / std
        # In the features' principal axes, where neither the fit nor the penalty changes, the curvature is about known.
        spread, axes = torch.linalg.eigh(x.T @ x / len(x))
        x = x @ axes
        w, b, fits = x.new_zeros(x.shape[1], classes), x.new_zeros(classes), {}
        for penalty in sorted(penalties, reverse=True):
            # Strong to weak, each from the last: the weaker, the longer the way.
            scale = (CURVATURE * spread.clamp_min(0) + penalty).rsqrt()[:, None]
            w, b = self._minimise(x, y, penalty, scale, w, b)
            raw = axes @ w / std[:, None]
            fits[penalty] = torch.cat([raw, (b - mean @ raw)[None]])
        return fits

    def _minimise(self, x: Tensor, y: Tensor, penalty: float, scale: Tensor, w: Tensor, b: Tensor):
        """(w [F, classes], b [classes]) by L-BFGS over w / scale."""
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
            value = F.cross_entropy(x @ w + b, y) + 0.5 * penalty * (w**2).sum()
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
