"""I as a difference of two entropies, each the cross-entropy of a fitted density.

Both densities start as the Gaussian copula's; a network learns the difference to the data, if there is any."""

import math

import torch
from torch import Tensor

from ssvae_cli.errors import require, require_at_least
from ssvae_cli.evaluation.densities.autoregressive import Autoregressive, best_start
from ssvae_cli.evaluation.fit import Curve, Fit
from ssvae_cli.evaluation.samples import Pairs
from ssvae_cli.mi.problem import NOTHING, Method, Ratio, Reading

FEWEST = 8  # training pairs; half of half of them have a covariance
SETTLES = 0.6  # the share of one doubling's gain that the next one brings


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
        fewest = min(len(train) for train, _ in problem.split.folds(len(problem), problem.generator()))
        if fewest < max(FEWEST, 2 * problem.width + 2):
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

    def _fit(self, pairs: Pairs, generator: torch.Generator) -> tuple[Autoregressive, Curve]:
        """log p(y | x) and its mean on validation over training; step 0 is the best Gaussian there."""
        mean = lambda density, pairs: density(*pairs).mean()
        held = min(max(3, int(self.validation * len(pairs.x))), 2048, len(pairs.x) // 2)
        rows = torch.randperm(len(pairs.x), generator=generator)
        validation, train = pairs.rows(rows[:held]), pairs.rows(rows[held:])
        density = best_start(train, validation, {"hidden": self.hidden, "components": self.components})
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
