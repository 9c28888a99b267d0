"""I as a difference of two entropies, each the cross-entropy of a fitted density.

Both densities start as the Gaussian copula's; a network learns the difference to the data, if there is any."""

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
    standard normals for every c. p(u_k | u_<k, c) is a mixture with parameters from one masked network, near N(0, 1)
    before training. c: [B, dc], dc = 0 for an unconditional density. Sources: Bishop 1994; Germain et al. 2015.
    """

    def __init__(self, context: Tensor, y: Tensor, *, hidden: int, components: int, shrinkage: float):
        super().__init__()
        both = torch.cat([context, y], 1).double()
        self.context_dim, dim = context.shape[1], y.shape[1]
        covariance = (1 - shrinkage) * torch.cov(both.T).reshape(both.shape[1], -1)
        ridge = (shrinkage + 1e-6) * torch.eye(len(covariance), dtype=covariance.dtype)
        self.register_buffer("mean", both.mean(0).float())
        self.register_buffer("lower", torch.linalg.cholesky(covariance + ridge).float())
        # MADE: output k depends on the context and the coordinates before k, a unit of degree k on those up to k.
        inputs = torch.cat([torch.zeros(self.context_dim), torch.arange(1, dim + 1)])
        units = torch.arange(hidden) % dim if dim > 1 else torch.zeros(hidden)
        outputs = torch.arange(dim).repeat_interleave(3 * components)
        layers = (Masked(inputs, units), nn.ReLU(), Masked(units, units), nn.ReLU(), Masked(units, outputs))
        self.layers = nn.Sequential(*layers)
        self.components = components
        nn.init.zeros_(self.layers[-1].weight)
        nn.init.zeros_(self.layers[-1].bias)
        self.register_buffer("offsets", torch.linspace(-0.2, 0.2, components))  # equal components would stay equal

    def forward(self, context: Tensor, y: Tensor) -> Tensor:
        """log p(y_i | c_i), [B]."""
        centred = torch.cat([context, y], 1) - self.mean
        u = torch.linalg.solve_triangular(self.lower, centred.T, upper=False).T
        weight, mean, log_scale = self.layers(u).view(len(y), y.shape[1], 3, self.components).unbind(2)
        log_scale = 4 * torch.tanh(log_scale / 4)  # scales between e^-4 and e^4
        standardised = (u[:, self.context_dim :, None] - mean - self.offsets) * (-log_scale).exp()
        log_normal = -0.5 * standardised**2 - log_scale - 0.5 * math.log(2 * math.pi)
        log_density = (weight.log_softmax(-1) + log_normal).logsumexp(-1).sum(1)
        return log_density - self.lower.diagonal()[self.context_dim :].log().sum()


class Masked(nn.Linear):
    """A linear layer in which an output of degree k depends on inputs of degree at most k; inputs, outputs: degrees."""

    def __init__(self, inputs: Tensor, outputs: Tensor):
        super().__init__(len(inputs), len(outputs))
        self.register_buffer("mask", (outputs[:, None] >= inputs).float())

    def forward(self, x):
        return F.linear(x, self.weight * self.mask, self.bias)


class Entropies:
    """E log p(y | x) - E log p(y), x the wider side: a difference of entropies, H(y) - H(y | x).

    Relation to I: none; too low by the KL of the true p(y | x) to the fitted one, too high by that of p(y), both small
    for good fits. No ceiling; the variance is that of one log ratio for every I. Source: McAllester & Stratos 2020.
    """

    def __init__(self, *, hidden: int, components: int, training: Fit):
        require_at_least(1, hidden=hidden, components=components)
        self.hidden, self.components, self.training = hidden, components, training

    def fit_and_read(self, parts: Parts, generator: torch.Generator) -> tuple[Estimate, Curve]:
        """The estimate on test, one term per pair, and the validation curve; each density has its own chosen step.

        NaN where there are fewer training pairs than coordinates."""
        if len(parts.train.x) < sum(side.shape[1] for side in parts.train) + 2:
            return Estimate(math.nan, math.nan), Curve([0], [0.0], 0)
        swap = parts.train.x.shape[1] < parts.train.y.shape[1]
        sides = [Pairs(p.y, p.x) if swap else p for p in parts]
        conditional, conditional_curve = self._fit(*sides, generator)
        marginal, marginal_curve = self._fit(*(Pairs(p.x[:, :0], p.y) for p in sides), generator)
        return Estimate.of_mean(conditional - marginal), difference(conditional_curve, marginal_curve)

    def _fit(self, train: Pairs, validation: Pairs, test: Pairs, generator: torch.Generator) -> tuple[Tensor, Curve]:
        """(log p(y_i | x_i) on test, [B]; its mean on validation over training, step 0 the best Gaussian there)."""
        sizes = {"hidden": self.hidden, "components": self.components}
        mean = lambda density, pairs: density(*pairs).mean()
        with torch.no_grad():
            starts = (Density(*train, **sizes, shrinkage=shrinkage) for shrinkage in SHRINKAGES)
            density = max(starts, key=lambda start: mean(start, validation).nan_to_num(-math.inf).item())
        validate = lambda: mean(density, validation).item()
        curve = self.training(density, lambda batch: mean(density, batch), train, validate, generator)
        with torch.no_grad():
            return density(*test), curve


def difference(conditional: Curve, marginal: Curve) -> Curve:
    """The curve of a difference, each side at its best value so far, as are the weights."""
    steps = sorted({*conditional.steps, *marginal.steps})
    best = lambda curve, step: max(value for at, value in zip(curve.steps, curve.values) if at <= step)
    values = [best(conditional, step) - best(marginal, step) for step in steps]
    return Curve(steps, values, max(conditional.chosen, marginal.chosen))
