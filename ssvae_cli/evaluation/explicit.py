"""The ELBO, I and KL of an explicit prior on test, from log P and from log Q of the latents."""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from ssvae_cli.evaluation.degeneracy import latent_names
from ssvae_cli.evaluation.densities.held_out import Densities, LogQ, estimate, pairs_of
from ssvae_cli.evaluation.estimate import Z95, Enclosed, Estimate, as_kl
from ssvae_cli.evaluation.posterior_mixture import PosteriorMixture
from ssvae_cli.priors import ExplicitPrior
from ssvae_cli.tracking.missing import Missing

UNSETTLED = Missing(
    "the density of the latents still gains with every doubling of samples and steps: it needs more of them"
)
ONE_END = Missing("a deterministic encoder's entropy has no lower end; evaluation.noise smooths it, which gives one")
CONTRADICTION = Missing(
    "the ends of its interval contradict each other, as where samples of test are in train or validation too"
)
WIDEST = 5.0  # nats to either side of a number that ends alone give
ANCHORS = 2048  # test latents, at most, at which mixtures of the posteriors of all test sources are read
Sides = tuple[int, ...]  # (0,) is z, (1,) is z', (0, 1) the pair
Density = tuple[int, Sides]  # of a side, given others


class Quantity(NamedTuple):
    """E [known + sum of sign * log Q of sides] over test pairs."""

    known: Tensor  # [n], nats
    signs: dict[Sides, int]

    @property
    def by_densities(self) -> dict[Density, int]:
        """The same by densities of one side: log Q(z, z') = log Q(z) + log Q(z'|z), and so on."""
        signs: dict[Density, int] = {}
        for sides, sign in self.signs.items():
            for place, side in enumerate(sides):
                signs[side, sides[:place]] = signs.get((side, sides[:place]), 0) + sign
        return {density: sign for density, sign in signs.items() if sign}


class Explicit:
    """What Eqs. 17 and 23 say of test latents under an explicit prior; each number is computed when it is asked for.

    latents: (z, z'), (z_1, ..., z_n) or (z,) of test, [n, D] each. densities: of them. mixture: of their posteriors,
    None for a deterministic encoder. joint: the decoder is that of all views. E log q of a density lies below E log Q,
    so it gives one end of the ELBO and of KL; the mixture gives both ends of everything.
    """

    def __init__(
        self,
        prior: ExplicitPrior,
        latents: tuple[Tensor, ...],
        densities: Densities,
        mixture: PosteriorMixture | None = None,
        joint: bool = False,
    ):
        self.prior, self.latents, self.densities, self.mixture = prior, latents, densities, mixture
        self.joint = joint
        with torch.no_grad():
            self.log_p = prior.log_density(latents)
        self.free = prior.marginal == "encoder"  # P(z) is Q(z)

    def elbo(self) -> Enclosed:
        """E log P - log Q(z) - log Q(z'), of a joint decoder E log P - log Q(z, z'); without P(z) and Q(z) where P(z) =
        Q(z)."""
        return self._enclosed(self._of_elbo())

    def _of_elbo(self) -> Quantity:
        entropies = self.prior.entropies(self.joint)
        return Quantity(self.log_p, {sides: -sign for sides, sign in entropies.items()})

    def information(self) -> Enclosed:
        """I(z; z')."""
        zero = torch.zeros_like(self.log_p)
        return self._doubted(self._enclosed(Quantity(zero, {(0, 1): 1, (0,): -1, (1,): -1})))

    def divergence(self) -> Enclosed:
        """KL(Q || P) of the latents; Missing where it reads below 0 by more than chance."""
        enclosed = self._enclosed(Quantity(-self.log_p, self.prior.entropies(joint=True)))
        return as_kl(enclosed if len(self.latents) == 1 else self._doubted(enclosed))

    def marginal_divergence(self, side: int = 0) -> Enclosed | None:
        """KL(Q(z) || P(z)), as `divergence`; 0 where P(z) = Q(z), None where P(z) has no closed form."""
        if self.free and side == 0:
            return Enclosed(0.0, 0.0, 0.0, 0.0)
        log_p = self.prior.log_marginal(self.latents[side], side)
        if log_p is None:
            return None
        return as_kl(self._enclosed(Quantity(-log_p, {(side,): 1})))

    def residual(self, correction: Tensor, elbo: Enclosed) -> Estimate:
        """I - KL - ELBO, with I by log Q(z'|z), KL by log Q(z|z') and by `correction`; the differences pair by pair.

        correction: what a classifier between Q and samples of P adds to log Q/P of each pair, [n]. So log P as a
        formula enters the ELBO alone. Both densities of the pair miss about as much, so that is in the error alone, as
        is what a density of single latents misses for certain, where test is of other writers than train."""
        apart = Estimate.of_mean(self._of_conditionals() - correction.double())
        fitted, doubts = self._by_densities(self._of_elbo()), [self._disagreement()]
        if elbo.value != fitted.value:
            doubts += [fitted.error, elbo.error]
        if len(self.latents) == 1:
            doubts.append(max(fitted.value, 0.0))  # no -KL is above 0: so much, at least, the density misses
        return Estimate(apart.value + fitted.value - elbo.value, math.hypot(apart.error, *doubts))

    def _of_conditionals(self) -> Tensor:
        """log q(z) q(z'|z) less log q(z') q(z|z') of each pair, [n]: 0 if both are Q(z, z')."""
        if len(self.latents) == 1:
            return torch.zeros_like(self.log_p, dtype=torch.float64)
        joints = [self.densities.terms(1 - side) + self.densities.terms(side, (1 - side,)) for side in (1, 0)]
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
            return known + density(0, ())
        joint = density(1, ()) + density(0, (1,))
        return known + joint - (density(0, ()) if self.free else 0.0)

    def log_weight(self, latents: tuple[Tensor, ...]) -> Tensor:
        """log P less log Q of any latents, [B], as the densities say, both as in the ELBO: its mean is the ELBO."""
        signs = self._of_elbo().by_densities.items()
        log_q = (sign * self.densities.density(*which)(*pairs_of(latents, *which)) for which, sign in signs)
        return self.prior.log_density(latents).double() + sum(log_q)

    def log_ratio_to_marginals(self, latents: tuple[Tensor, ...]) -> Tensor:
        """log P(z, z') / (Q(z) Q(z')) of any latents, [B], as the densities say, whatever the decoder."""
        return self.prior.log_density(latents).double() - sum(self._log_marginals(latents).values())

    def table(self, latents: tuple[Tensor, Tensor]) -> Tensor:
        """The same of all combinations of z, [n, D], and z', [m, D]: [n, m]."""
        z, z_prime = latents
        log_p = [self.prior.log_density((one.expand_as(z_prime), z_prime)).double() for one in z]
        log_q = self._log_marginals(latents)
        rows, columns = (log_q.get(side, torch.zeros_like(of[:, 0])) for side, of in enumerate(latents))
        return torch.stack(log_p) - rows[:, None] - columns

    def _log_marginals(self, latents: tuple[Tensor, ...]) -> dict[int, Tensor]:
        """By side: log Q of each latent, [n]; none of z where P(z) = Q(z)."""
        sides = (side for (side,) in self.prior.entropies(False))
        return {side: self.densities.density(side, ())(*pairs_of(latents, side, ())).double() for side in sides}

    def in_parts(self, elbo: Enclosed) -> str:
        """The ELBO as what P says of the coupling of z and z' less the KLs of the marginals, as a line of the log; the
        ELBO alone where P(z') has no closed form, as where P(z) = Q(z)."""
        line = f"ELBO on test: {elbo.value:.3f} nats, standard error {elbo.error:.3f}"
        sides = range(len(self.latents))
        marginals = [self.prior.log_marginal(z, side) for side, z in enumerate(self.latents)]
        if len(sides) == 1 or self.joint or self.free or any(log_p is None for log_p in marginals):
            return line
        apart = [self.marginal_divergence(side) for side in sides]
        if any(isinstance(kl.value, Missing) for kl in apart):
            return line
        coupling = elbo.value + sum(kl.value for kl in apart)
        names = latent_names(len(sides))
        parts = "".join(f" - KL(Q({z}) || P({z})) {kl.value:.3f}" for z, kl in zip(names, apart))
        return f"{line} = coupling {coupling:.3f}{parts}"

    def _by_densities(self, quantity: Quantity) -> Estimate:
        return estimate(quantity.known, self._parts(quantity))

    def _parts(self, quantity: Quantity) -> list[tuple[int, LogQ]]:
        return [(sign, self.densities.log_q(*which)) for which, sign in quantity.by_densities.items()]

    def _enclosed(self, quantity: Quantity) -> Enclosed:
        """The better of both estimates, by densities or amid the ends of 95%, and these ends, the nearest."""
        parts = self._parts(quantity)
        best = estimate(quantity.known, parts)
        signs = {sign for sign, _ in parts}
        end = estimate(quantity.known, [(sign, log_q._replace(missing=0.0, error=0.0)) for sign, log_q in parts])
        lows = [end.value - Z95 * end.error] if signs == {1} else []
        highs = [end.value + Z95 * end.error] if signs == {-1} else []
        if self.mixture:
            low, high = self.mixture.enclose(quantity.known[self.mixture.anchors], quantity.signs)
            lows.append(low.value - Z95 * low.error)
            highs.append(high.value + Z95 * high.error)
            half = 0.5 * (min(highs) - max(lows))
            if half < WIDEST:
                amid = Estimate(max(lows) + half, max(low.error, high.error, half / Z95))
                best = min(best, amid, key=lambda estimate: estimate.error)
        low, high = max(lows, default=ONE_END), min(highs, default=ONE_END)
        if lows and highs and low > high:
            return Enclosed.lacking(CONTRADICTION)
        if not math.isfinite(best.error):
            return Enclosed(UNSETTLED, UNSETTLED, low, high)
        value = best.value if not highs else min(best.value, high)
        return Enclosed(value if not lows else max(value, low), best.error, low, high)
