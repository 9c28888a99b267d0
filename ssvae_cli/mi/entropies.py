"""I as a difference of two entropies, each the cross-entropy of a fitted density.

Both densities start as the Gaussian copula's; a network learns the difference to the data, if there is any."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ssvae_cli.errors import require, require_at_least
from ssvae_cli.evaluation.fit import Curve, Fit
from ssvae_cli.evaluation.samples import Pairs
from ssvae_cli.mi.problem import NOTHING, Method, Ratio, Reading

SETTLES = 0.6  # the share of one doubling's gain that the next one brings
SHRINKAGES = (0.0, 0.02, 0.1, 0.3, 0.7)  # of a covariance towards the identity


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


class Entropies(Method):
    """E log p(y | x) - E log p(y), x the wider side: a difference of entropies, H(y) - H(y | x), cross-fitted.

    Of the linked coordinates alone. A single y has normal scores, so its p(y) is known, and the estimate is a lower
    bound of I. Otherwise no bound: too low by the KL of the true p(y | x) to the fitted one, too high by that of p(y).
    No ceiling; the variance is that of one log ratio for every I. Source: Barber & Agakov 2003; McAllester & Stratos
    2020.

    hidden: width of both hidden layers; components: normal components of each coordinate; training: of each density;
    validation: the fraction of the training pairs that chooses the step; widest: coordinates in all, at most.
    """

    trained = True

    def __init__(self, *, hidden: int, components: int, validation: float, widest: int, training: Fit):
        require_at_least(1, hidden=hidden, components=components)
        require_at_least(2, widest=widest)
        require(0 < validation < 1, f"validation must lie between 0 and 1, got {validation}")
        self.hidden, self.components, self.training = hidden, components, training
        self.validation, self.widest = validation, widest

    def refusal(self, problem):
        if sum(side.shape[1] for side in problem.linked) > self.widest:
            return f"more than {self.widest} coordinates"
        return "both sides have few values: counts serve" if problem.countable else None

    def __call__(self, problem):
        if (1 - 1 / problem.split.number) * len(problem) < 2 * problem.width + 2:
            return Reading(NOTHING)
        curves, generator = [], problem.generator()
        pairs = Pairs(*(side.float() for side in problem.linked))
        swap = pairs.x.shape[1] < pairs.y.shape[1]

        def fit(train: Pairs) -> Ratio:
            given, drawn = (train.y, train.x) if swap else train
            conditional, curve = self._fit(Pairs(given, drawn), generator)
            marginal, marginal_curve = standard_normal, Curve([0], [0.0], 0)
            if drawn.shape[1] > 1:
                marginal, marginal_curve = self._fit(Pairs(given[:, :0], drawn), generator)
            curves.append(difference(curve, marginal_curve))

            def ratio(x: Tensor, y: Tensor) -> Tensor:
                given, drawn = (y, x) if swap else (x, y)
                return conditional(given, drawn) - marginal(given[:, :0], drawn)

            return ratio

        terms, apart = problem.held_out(fit, pairs)
        bound, growth = problem.lower_bound(terms, apart), problem.growth(fit, pairs, terms)
        return Reading(problem.mean(terms), bound, (growth,), SETTLES, terms, curves[0])

    def _fit(self, pairs: Pairs, generator: torch.Generator) -> tuple[Density, Curve]:
        """log p(y | x) and its mean on validation over training; step 0 is the best Gaussian there."""
        sizes = {"hidden": self.hidden, "components": self.components}
        mean = lambda density, pairs: density(*pairs).mean()
        held = min(max(3, int(self.validation * len(pairs.x))), 2048)
        rows = torch.randperm(len(pairs.x), generator=generator)
        validation, train = pairs.rows(rows[:held]), pairs.rows(rows[held:])
        with torch.no_grad():
            starts = (Density(*train, **sizes, shrinkage=shrinkage) for shrinkage in SHRINKAGES)
            density = max(starts, key=lambda start: mean(start, validation).nan_to_num(-math.inf).item())
        validate = lambda: mean(density, validation).item()
        return density, self.training(density, lambda batch: mean(density, batch), train, validate, generator)


def standard_normal(_, y: Tensor) -> Tensor:
    """log N(y; 0, 1), [B], y: [B, 1]."""
    return (-0.5 * y.square() - 0.5 * math.log(2 * math.pi)).squeeze(1)


def difference(conditional: Curve, marginal: Curve) -> Curve:
    """The curve of a difference, each side at its best value so far, as are the weights."""
    steps = sorted({*conditional.steps, *marginal.steps})
    best = lambda curve, step: max(value for at, value in zip(curve.steps, curve.values) if at <= step)
    values = [best(conditional, step) - best(marginal, step) for step in steps]
    return Curve(steps, values, max(conditional.chosen, marginal.chosen))
