"""The ELBO, I and KL of an explicit prior on test, from log P and from log Q of the latents."""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from ssvae_cli.evaluation.densities.held_out import Densities, LogQ, estimate, pairs_of
from ssvae_cli.evaluation.estimate import Z95, Enclosed, Estimate
from ssvae_cli.evaluation.posterior_mixture import PosteriorMixture
from ssvae_cli.priors import ExplicitPrior
from ssvae_cli.tracking.missing import Missing

UNSETTLED = Missing("the density of the latents still gains with every doubling of the samples: it needs more of them")
ONE_END = Missing("a deterministic encoder's entropy has no lower end; evaluation.noise smooths it, which gives one")
ANCHORS = 2048  # test latents, at most, at which mixtures of the posteriors of all test sources are read
Sides = tuple[int, ...]  # (0,) is z, (1,) is z', (0, 1) the pair
Density = tuple[int, bool]  # the side, and whether the other is given


class Quantity(NamedTuple):
    """E [known + sum of sign * log Q] over test pairs; log Q of densities, or of mixtures of posteriors."""

    known: Tensor  # [n], nats
    by_densities: dict[Density, int]
    by_posteriors: dict[Sides, int]


class Explicit:
    """What Eqs. 17 and 23 say of test latents under an explicit prior; each number is computed when it is asked for.

    latents: (z, z') or (z,) of test, [n, D] each. densities: of them. mixture: of their posteriors, None for a
    deterministic encoder. E log q of a density lies below E log Q, so it gives one end of the ELBO and of KL; the
    mixture gives both ends of everything.
    """

    def __init__(
        self,
        prior: ExplicitPrior,
        latents: tuple[Tensor, ...],
        densities: Densities,
        mixture: PosteriorMixture | None = None,
    ):
        self.prior, self.latents, self.densities, self.mixture = prior, latents, densities, mixture
        with torch.no_grad():
            self.log_p = prior.log_density(latents)
        self.free = prior.marginal == "encoder"  # P(z) is Q(z)

    def elbo(self) -> Enclosed:
        """E log P - log Q(z) - log Q(z'), or without P(z) and Q(z) where P(z) = Q(z)."""
        return self._enclosed(self._of_elbo())

    def _of_elbo(self) -> Quantity:
        sides = self.prior.estimated
        return Quantity(self.log_p, {(s, False): -1 for s in sides}, {(s,): -1 for s in sides})

    def information(self) -> Enclosed:
        """I(z; z')."""
        zero = torch.zeros_like(self.log_p)
        signs = {(1, True): 1, (1, False): -1}, {(0, 1): 1, (0,): -1, (1,): -1}
        return self._doubted(self._enclosed(Quantity(zero, *signs)))

    def divergence(self) -> Enclosed:
        """KL(Q || P) of the latents."""
        if len(self.latents) == 1:
            return self._enclosed(Quantity(-self.log_p, {(0, False): 1}, {(0,): 1}))
        signs = {(0, False): 1, (1, True): 1}, {(0, 1): 1}
        if self.free:
            signs = {(1, True): 1}, {(0, 1): 1, (0,): -1}
        return self._doubted(self._enclosed(Quantity(-self.log_p, *signs)))

    def marginal_divergence(self, side: int = 0) -> Enclosed | None:
        """KL(Q(z) || P(z)); 0 where P(z) = Q(z), None where P(z) has no closed form."""
        if self.free and side == 0:
            return Enclosed(0.0, 0.0, 0.0, 0.0)
        log_p = self.prior.log_marginal(self.latents[side], side)
        if log_p is None:
            return None
        return self._enclosed(Quantity(-log_p, {(side, False): 1}, {(side,): 1}))

    def residual(self, correction: Tensor, elbo: Enclosed) -> Estimate:
        """I - KL - ELBO, with I by log Q(z'|z), KL by log Q(z|z') and by `correction`; the differences pair by pair.

        correction: what a classifier between Q and samples of P adds to log Q/P of each pair, [n]. So log P as a
        formula enters the ELBO alone. Both densities of the pair miss about as much, so that is in the error alone."""
        apart = Estimate.of_mean(self._of_conditionals() - correction.double())
        fitted, doubts = self._by_densities(self._of_elbo()), [self._disagreement()]
        if elbo.value != fitted.value:
            doubts += [fitted.error, elbo.error]
        return Estimate(apart.value + fitted.value - elbo.value, math.hypot(apart.error, *doubts))

    def _of_conditionals(self) -> Tensor:
        """log q(z) q(z'|z) less log q(z') q(z|z') of each pair, [n]: 0 if both are Q(z, z')."""
        if len(self.latents) == 1:
            return torch.zeros_like(self.log_p, dtype=torch.float64)
        joints = [self.densities.terms(1 - side) + self.densities.terms(side, True) for side in (1, 0)]
        return joints[0] - joints[1]

    def _disagreement(self) -> float:
        return abs(self._of_conditionals().mean().item())

    def _doubted(self, enclosed: Enclosed) -> Enclosed:
        """With the disagreement of both densities of the pair in the error, which is of their fit."""
        if isinstance(enclosed.value, Missing):
            return enclosed
        return enclosed._replace(error=math.hypot(enclosed.error, self._disagreement()))

    def log_ratio(self, latents: tuple[Tensor, ...]) -> Tensor:
        """log Q/P of any latents, [B], as the densities say; with log Q(z|z') for a pair."""
        known = -self.prior.log_density(latents)
        density = lambda side, given: self.densities.density(side, given)(*pairs_of(latents, side, given)).double()
        if len(latents) == 1:
            return known + density(0, False)
        joint = density(1, False) + density(0, True)
        return known + joint - (density(0, False) if self.free else 0.0)

    def log_ratio_to_marginals(self, latents: tuple[Tensor, ...]) -> Tensor:
        """log P(z, z') / (Q(z) Q(z')) of any latents, [B], as the densities say: its mean is the ELBO."""
        log_q = (self.densities.density(s)(*pairs_of(latents, s, False)) for s in self.prior.estimated)
        return self.prior.log_density(latents).double() - sum(log_q)

    def table(self, latents: tuple[Tensor, Tensor]) -> Tensor:
        """The same of all combinations of z, [n, D], and z', [m, D]: [n, m]."""
        z, z_prime = latents
        log_p = [self.prior.log_density((one.expand_as(z_prime), z_prime)).double() for one in z]
        log_q = {side: self.densities.density(side)(*pairs_of(latents, side, False)) for side in self.prior.estimated}
        rows, columns = (log_q.get(side, torch.zeros_like(of[:, 0])) for side, of in enumerate(latents))
        return torch.stack(log_p) - rows[:, None] - columns

    def in_parts(self, elbo: Enclosed) -> str:
        """The ELBO as what P says of the coupling of z and z' less the KLs of the marginals, as a line of the log."""
        line = f"ELBO on test: {elbo.value:.3f} nats, standard error {elbo.error:.3f}"
        sides = range(len(self.latents))
        marginals = [self.prior.log_marginal(z, side) for side, z in enumerate(self.latents)]
        if len(sides) == 1 or any(log_p is None for log_p in marginals):
            return line
        apart = [self.marginal_divergence(side) for side in sides]
        if any(isinstance(kl.value, Missing) for kl in apart):
            return line
        coupling = elbo.value + sum(kl.value for kl in apart)
        names = "KL(Q(z) || P(z))", "KL(Q(z') || P(z'))"
        return f"{line} = coupling {coupling:.3f}" + "".join(f" - {n} {k.value:.3f}" for n, k in zip(names, apart))

    def _by_densities(self, quantity: Quantity) -> Estimate:
        return estimate(quantity.known, self._parts(quantity))

    def _parts(self, quantity: Quantity) -> list[tuple[int, LogQ]]:
        return [(sign, self.densities.log_q(*which)) for which, sign in quantity.by_densities.items()]

    def _enclosed(self, quantity: Quantity) -> Enclosed:
        """The better of both estimates, and the nearest ends of an interval of 95%."""
        parts = self._parts(quantity)
        best = estimate(quantity.known, parts)
        signs = {sign for sign, _ in parts}
        end = estimate(quantity.known, [(sign, log_q._replace(missing=0.0, error=0.0)) for sign, log_q in parts])
        lows = [end.value - Z95 * end.error] if signs == {1} else []
        highs = [end.value + Z95 * end.error] if signs == {-1} else []
        if self.mixture:
            low, high = self.mixture.enclose(quantity.known[self.mixture.anchors], quantity.by_posteriors)
            lows.append(low.value - Z95 * low.error)
            highs.append(high.value + Z95 * high.error)
            half = 0.5 * (high.value - low.value)
            middle = Estimate(low.value + half, math.hypot(max(low.error, high.error), max(half, 0.0) / Z95))
            best = min(best, middle, key=lambda estimate: estimate.error)
        low, high = max(lows, default=ONE_END), min(highs, default=ONE_END)
        if not math.isfinite(best.error):
            return Enclosed(UNSETTLED, UNSETTLED, low, high)
        value = best.value if not highs else min(best.value, high)
        return Enclosed(value if not lows else max(value, low), best.error, low, high)
