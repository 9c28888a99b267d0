"""I as a difference of two entropies, each the cross-entropy of a density that is fitted.

Both densities start as the Gaussian copula's, and a network learns what that misses; where it misses nothing,
validation keeps step 0.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ssvae_cli.errors import require_at_least
from ssvae_cli.evaluation.estimate import Estimate
from ssvae_cli.evaluation.fit import Curve, Fit
from ssvae_cli.evaluation.samples import Pairs, Parts

SHRINKAGES = (0.0, 0.01, 0.03, 0.1, 0.3, 0.6, 0.9)  # of a covariance towards the identity


class Density(nn.Module):
    """log p(y | c): whitened by a Gaussian, then autoregressive, every coordinate a mixture of normals.

    u = (L^-1 [c, y])_y, L the Cholesky factor of the covariance of [c, y]: for Gaussian data the u_k are independent
    standard normals, whatever c. p(u_k | u_<k, c) is a mixture whose parameters come from one masked network, near
    N(0, 1) before training. c: [B, dc], dc = 0 for a plain density. Sources: Bishop 1994; Germain et al. 2015.
    """

    def __init__(self, context: Tensor, y: Tensor, *, hidden: int, components: int, shrinkage: float):
        super().__init__()
        both = torch.cat([context, y], 1).double()
        self.given, dim = context.shape[1], y.shape[1]
        covariance = (1 - shrinkage) * torch.cov(both.T).reshape(both.shape[1], -1)
        ridge = (shrinkage + 1e-6) * torch.eye(len(covariance), dtype=covariance.dtype)
        self.register_buffer("mean", both.mean(0).float())
        self.register_buffer("lower", torch.linalg.cholesky(covariance + ridge).float())
        # MADE's order: output k sees the context and the coordinates before k; a hidden unit of degree k, those to k.
        inputs = torch.cat([torch.zeros(self.given), torch.arange(1, dim + 1)])
        units = torch.arange(hidden) % dim if dim > 1 else torch.zeros(hidden)
        outputs = torch.arange(dim).repeat_interleave(3 * components)
        self.layers = nn.ModuleList(
            [Masked(inputs, units, dim), Masked(units, units, dim), Masked(units, outputs, dim)]
        )
        self.components = components
        nn.init.zeros_(self.layers[-1].weight)
        nn.init.zeros_(self.layers[-1].bias)
        self.register_buffer("apart", torch.linspace(-0.2, 0.2, components))  # or all components would learn alike

    def forward(self, context: Tensor, y: Tensor) -> Tensor:
        """log p(y_i | c_i), [B]."""
        both = torch.cat([context, y], 1) - self.mean
        u = torch.linalg.solve_triangular(self.lower, both.T, upper=False).T
        first, second, last = self.layers
        hidden = F.relu(second(F.relu(first(u))))
        weight, mean, log_scale = last(hidden).view(len(y), y.shape[1], 3, self.components).unbind(2)
        log_scale = 4 * torch.tanh(log_scale / 4)  # within e^-4 and e^4
        within = (u[:, self.given :, None] - mean - self.apart) * (-log_scale).exp()
        log_normal = -0.5 * within**2 - log_scale - 0.5 * math.log(2 * math.pi)
        log_density = (weight.log_softmax(-1) + log_normal).logsumexp(-1).sum(1)
        return log_density - self.lower.diagonal()[self.given :].log().sum()


class Masked(nn.Linear):
    """A linear layer whose unit of degree k sees inputs of degree at most k."""

    def __init__(self, inputs: Tensor, outputs: Tensor, dim: int):
        super().__init__(len(inputs), len(outputs))
        self.register_buffer("mask", (outputs[:, None] >= inputs).float())

    def forward(self, x):
        return F.linear(x, self.weight * self.mask, self.bias)


class Entropies:
    """E log p(y | x) - E log p(y), x the wider side: a difference of entropies, H(y) - H(y | x).

    Relation to I: none; too low by KL of the true p(y | x) to the fitted one, too high by that of p(y), which are
    both small where the fits are good. No ceiling; variance that of one log ratio, whatever I is. Source: McAllester &
    Stratos 2020.
    """

    def __init__(self, *, hidden: int, components: int, training: Fit):
        require_at_least(1, hidden=hidden, components=components)
        self.hidden, self.components, self.training = hidden, components, training

    def fit_and_read(self, parts: Parts, generator: torch.Generator) -> tuple[Estimate, Curve]:
        """The value on test, a term a pair; the curve is of both densities on validation, each chosen apart.

        NaN where there are fewer training pairs than coordinates.
        """
        if len(parts.train.x) < sum(side.shape[1] for side in parts.train) + 2:
            return Estimate(math.nan, math.nan), Curve([0], [0.0], 0)
        swap = parts.train.x.shape[1] < parts.train.y.shape[1]
        sides = [Pairs(p.y, p.x) if swap else p for p in parts]
        given, given_curve = self._fit(*sides, generator)
        alone, alone_curve = self._fit(*(Pairs(p.x[:, :0], p.y) for p in sides), generator)
        return Estimate.of_mean(given - alone), difference(given_curve, alone_curve)

    def _fit(self, train: Pairs, validation: Pairs, test: Pairs, generator: torch.Generator) -> tuple[Tensor, Curve]:
        """(log p(y_i | x_i) on test, [B]; the mean of it on validation over training)."""
        density = self._start(train, validation)
        curve = self.training(
            density,
            lambda batch: density(*batch).mean(),
            train,
            lambda: density(*validation).mean().item(),
            generator,
        )
        with torch.no_grad():
            return density(*test), curve

    def _start(self, train: Pairs, validation: Pairs) -> Density:
        """The Gaussian whose covariance, shrunk towards the identity, does best on validation."""
        with torch.no_grad():
            return max(
                (Density(*train, hidden=self.hidden, components=self.components, shrinkage=s) for s in SHRINKAGES),
                key=lambda density: density(*validation).mean().nan_to_num(-math.inf).item(),
            )


def difference(conditional: Curve, marginal: Curve) -> Curve:
    """The curve of a difference, each side staying at its best so far, as their weights do."""
    steps = sorted({*conditional.steps, *marginal.steps})

    def best(curve: Curve, step: int) -> float:
        return max(value for at, value in zip(curve.steps, curve.values) if at <= step)

    values = [best(conditional, step) - best(marginal, step) for step in steps]
    return Curve(steps, values, max(conditional.chosen, marginal.chosen))
