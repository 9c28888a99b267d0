"""The linear probe: a logistic regression to convergence, its penalty chosen on validation."""

import logging
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from ssvae_cli.errors import require

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ProbeResult:
    """Accuracies in [0, 1]; test is null where it was not read."""

    validation: float
    test: float | None
    penalty: float


class LinearProbe:
    """Multinomial logistic regression on standardised features, with an L2 penalty on the weights.

    penalties: of mean cross-entropy + penalty / 2 |W|^2; the best on validation is used, and for test the fit is
    repeated on train and validation together.
    """

    def __init__(self, *, penalties: list[float], max_iterations: int, tolerance: float):
        require(len(penalties) > 0 and min(penalties) > 0, f"probe.penalties must all be above 0, got {list(penalties)}")
        require(max_iterations >= 1, f"probe.max_iterations must be at least 1, got {max_iterations}")
        require(tolerance > 0, f"probe.tolerance must be above 0, got {tolerance}")
        self.penalties = sorted(penalties, reverse=True)  # strong to weak, each starting from the last
        self.max_iterations, self.tolerance = max_iterations, tolerance

    def __call__(self, train, validation, test=None) -> ProbeResult:
        """Each split: (features [N, F], labels [N]), rows labelled below 0 left out."""
        classes = int(max(labels.max() for _, labels in (train, validation))) + 1
        start, scores = None, {}
        for penalty in self.penalties:
            start = self.fit(*train, classes, penalty, start)
            scores[penalty] = accuracy(start, *validation)
        best = max(scores, key=scores.get)
        found = None
        if test is not None:
            both = [torch.cat(pair) for pair in zip(train, validation)]
            found = accuracy(self.fit(*both, classes, best), *test)
        return ProbeResult(scores[best], found, best)

    def fit(self, x: Tensor, y: Tensor, classes: int, penalty: float, start: Tensor | None = None) -> Tensor:
        """[F + 1, classes]: weights over the raw features, the last row the bias."""
        x, y = x[y >= 0].double(), y[y >= 0]
        mean, std = x.mean(0), x.std(0)
        std = torch.where(std > 1e-6 * std.max(), std, torch.ones_like(std))  # dead units stay zero
        x = (x - mean) / std
        with torch.enable_grad():
            w = torch.zeros(x.shape[1], classes, dtype=x.dtype, device=x.device)
            b = torch.zeros(classes, dtype=x.dtype, device=x.device)
            if start is not None:
                w, b = start[:-1] * std[:, None], start[-1] + mean @ start[:-1]
            w, b = w.requires_grad_(), b.requires_grad_()
            lbfgs = torch.optim.LBFGS(
                [w, b],
                max_iter=self.max_iterations,
                tolerance_grad=self.tolerance,
                tolerance_change=1e-12,
                line_search_fn="strong_wolfe",
            )

            def loss():
                lbfgs.zero_grad()
                value = F.cross_entropy(x @ w + b, y) + 0.5 * penalty * (w**2).sum()
                value.backward()
                return value

            lbfgs.step(loss)
            if max(w.grad.abs().max(), b.grad.abs().max()) > 100 * self.tolerance:
                log.warning("the linear probe did not converge in %d iterations", self.max_iterations)
        w, b = w.detach(), b.detach()
        w = w / std[:, None]
        return torch.cat([w, (b - mean @ w)[None]])


def accuracy(weights: Tensor, x: Tensor, y: Tensor) -> float:
    """The share of rows, labelled at least 0, that `weights` [F + 1, classes] gets right."""
    x, y = x[y >= 0].double(), y[y >= 0]
    return (x @ weights[:-1] + weights[-1]).argmax(1).eq(y).double().mean().item()
