"""The linear probe: a logistic regression to convergence, its penalty chosen on validation."""

import logging
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from ssvae_cli.errors import require

log = logging.getLogger(__name__)
EXACT = 4_000_000  # numbers in the features up to which float64 is quick
CURVATURE = 0.1  # of the cross-entropy, about p (1 - p); sets the speed and not the result
MOST_DIRECTIONS = 250  # of conjugate gradients in a Newton step


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
        # In the features' principal axes, where neither the fit nor the penalty changes, the curvature is known.
        spread, axes = torch.linalg.eigh(x.T @ x / len(x))
        x = torch.cat([x @ axes, torch.ones_like(x[:, :1])], 1)
        spread = torch.cat([spread.clamp_min(0), spread.new_ones(1)])
        target = F.one_hot(y, classes).to(x.dtype)
        solution, fits = x.new_zeros(x.shape[1], classes), {}
        for penalty in sorted(penalties, reverse=True):
            # Strong to weak, each from the last: the weaker, the longer the way.
            solution = self._newton(x, target, penalty, spread, solution)
            w = axes @ solution[:-1] / std[:, None]
            fits[penalty] = torch.cat([w, (solution[-1] - mean @ w)[None]])
        return fits

    def _newton(self, x: Tensor, target: Tensor, penalty: float, spread: Tensor, start: Tensor) -> Tensor:
        """Newton's method with conjugate gradients and a backtracking line search, [F + 1, classes]."""
        weight = torch.full_like(spread, penalty)
        weight[-1] = 0  # the bias is not penalised
        scale = (CURVATURE * spread + weight).rsqrt()[:, None]
        weight = weight[:, None]

        def loss(v):
            w = scale * v
            log_p = (x @ w).log_softmax(1)
            return log_p, -(target * log_p).sum() / len(x) + 0.5 * (weight * w**2).sum()

        v = start / scale
        log_p, value = loss(v)
        for _ in range(self.max_iterations):
            p = log_p.exp()
            gradient = scale * (x.T @ (p - target) / len(x) + weight * scale * v)
            left = (gradient / scale).abs().max().item()
            if left <= self.tolerance:
                break

            def curvature(u, p=p):
                moved = p * (x @ (scale * u))
                return scale * (x.T @ (moved - p * moved.sum(1, keepdim=True)) / len(x) + weight * scale * u)

            step = _conjugate_gradients(curvature, -gradient, min(0.1, left**0.5))
            slope, length = (gradient * step).sum(), 1.0
            while length > 1e-6:
                log_p, reached = loss(v + length * step)
                if reached <= value + 1e-4 * length * slope:
                    break
                length /= 2
            else:  # no progress beyond rounding
                break
            v, value = v + length * step, reached
        if left > 100 * self.tolerance:
            log.warning("the linear probe did not converge: gradient %.1e, tolerance %.1e", left, self.tolerance)
        return scale * v


def _conjugate_gradients(apply: Callable[[Tensor], Tensor], goal: Tensor, tolerance: float) -> Tensor:
    """x with |apply(x) - goal| <= tolerance |goal|, for a positive semidefinite `apply`."""
    x, residual = torch.zeros_like(goal), goal
    direction, squared = goal, (goal**2).sum()
    enough = tolerance**2 * squared
    for _ in range(MOST_DIRECTIONS):
        moved = apply(direction)
        length = squared / (direction * moved).sum()
        x, residual = x + length * direction, residual - length * moved
        before, squared = squared, (residual**2).sum()
        if squared <= enough:
            break
        direction = residual + squared / before * direction
    return x


def _classes(*splits: Labelled) -> int:
    return int(max(labels.max() for _, labels in splits)) + 1


def accuracy(weights: Tensor, x: Tensor, y: Tensor) -> float:
    """The share of rows, labelled at least 0, that `weights` [F + 1, classes] gets right."""
    x, y = x[y >= 0].to(weights.dtype), y[y >= 0]
    return (x @ weights[:-1] + weights[-1]).argmax(1).eq(y).double().mean().item()
