"""Autoregressive mixtures of normals that start as a normal density."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ssvae_cli.evaluation.samples import Pairs

SHRINKAGES = (0.0, 0.02, 0.1, 0.3, 0.7)  # of a covariance towards its diagonal
RIDGE = 1e-9  # of the variances: keeps the Cholesky factor of a singular covariance finite


class Autoregressive(nn.Module):
    """log p(y | c): whitened by a normal density, then autoregressive, every coordinate a mixture of normals.

    u = (L^-1 [c, y])_y, L the Cholesky factor of the covariance of [c, y]: for normal data the u_k are independent
    standard normals for every c. p(u_k | u_<k, c) is a mixture with parameters from one masked network, near N(0, 1)
    before training. c: [B, dc], dc = 0 for an unconditional density. shrinkage: of the covariance towards its diagonal.
    Sources: Bishop 1994; Germain et al. 2015.
    """

    def __init__(self, context: Tensor, y: Tensor, *, hidden: int, components: int, shrinkage: float):
        super().__init__()
        both = torch.cat([context, y], 1).double()
        self.context_dim, dim = context.shape[1], y.shape[1]
        covariance = torch.cov(both.T).reshape(both.shape[1], -1)
        diagonal = covariance.diagonal().clamp_min(torch.finfo(covariance.dtype).tiny).diag()
        shrunk = (1 - shrinkage) * covariance + (shrinkage + RIDGE) * diagonal
        self.register_buffer("mean", both.mean(0))
        self.register_buffer("lower", torch.linalg.cholesky(shrunk))  # float64: thin directions
        # MADE: output k depends on the context and the coordinates before k, a unit of degree k on those up to k.
        inputs = torch.cat([torch.zeros(self.context_dim), torch.arange(1, dim + 1)])
        units = torch.arange(hidden) % dim if dim > 1 else torch.zeros(hidden)
        outputs = torch.arange(dim).repeat(3 * components)
        layers = (Masked(inputs, units), nn.ReLU(), Masked(units, units), nn.ReLU(), Masked(units, outputs))
        self.layers = nn.Sequential(*layers)
        self.components = components
        nn.init.zeros_(self.layers[-1].weight)
        nn.init.zeros_(self.layers[-1].bias)
        self.register_buffer("offsets", torch.linspace(-0.2, 0.2, components))  # equal components would stay equal
        self.to(y.device)

    def prepared(self, context: Tensor, y: Tensor) -> Tensor:
        """L^-1 [c, y], [B, dc + dy]: what `log_density` takes, and training computes once."""
        centred = torch.cat([context, y], 1).double() - self.mean
        return torch.linalg.solve_triangular(self.lower, centred.T, upper=False).T.to(self.offsets)

    def log_density(self, u: Tensor) -> Tensor:
        """log p(y_i | c_i), [B]."""
        parameters = self.layers(u)
        # [B, components, D] each: sums over the components are fast where the coordinates lie next to each other
        weight, mean, log_scale = parameters.view(len(u), 3, self.components, -1).unbind(1)
        log_scale = 4 * torch.tanh(log_scale / 4)  # scales between e^-4 and e^4
        standardised = (u[:, None, self.context_dim :] - mean - self.offsets[:, None]) * (-log_scale).exp()
        log_normal = -0.5 * standardised**2 - log_scale - 0.5 * math.log(2 * math.pi)
        log_density = (weight.log_softmax(1) + log_normal).logsumexp(1).sum(1)
        return log_density - self.lower.diagonal()[self.context_dim :].log().sum().to(log_density)

    def forward(self, context: Tensor, y: Tensor) -> Tensor:
        """log p(y_i | c_i), [B]."""
        return self.log_density(self.prepared(context, y))


def best_start(train: Pairs, validation: Pairs, sizes: dict[str, int]) -> Autoregressive:
    """The untrained density, a normal one, with the shrinkage of the covariance that validation likes best."""
    with torch.no_grad():
        starts = [Autoregressive(*train, **sizes, shrinkage=shrinkage) for shrinkage in SHRINKAGES]
        return max(starts, key=lambda start: start(*validation).mean().nan_to_num(-math.inf).item())


class Masked(nn.Linear):
    """A linear layer in which an output of degree k depends on inputs of degree at most k; inputs, outputs: degrees."""

    def __init__(self, inputs: Tensor, outputs: Tensor):
        super().__init__(len(inputs), len(outputs), dtype=torch.float32)
        self.register_buffer("mask", (outputs[:, None] >= inputs).float())

    def forward(self, x):
        return F.linear(x, self.weight * self.mask, self.bias)
