"""Both sides of Eq. 23, L = I(z; z') - KL(Q(z, z') || P(z, z')), compared with the ELBO that a run reports.

I and KL are estimated independently of the ELBO and of each other, so the residual I - KL - ELBO is informative.
"""

import logging
import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ssvae_cli.distributions.seeding import own_stream
from ssvae_cli.errors import require_at_least
from ssvae_cli.estimators.infonce import InfoNCE as KWay
from ssvae_cli.evaluation.densities import RatioFit, draw_with_replacement
from ssvae_cli.evaluation.estimate import Estimate
from ssvae_cli.evaluation.fit import Fit
from ssvae_cli.evaluation.fresh_critics import fit_and_read
from ssvae_cli.evaluation.reading import Reading
from ssvae_cli.evaluation.rows import evenly_spaced
from ssvae_cli.evaluation.samples import Pairs, Parts, normalised
from ssvae_cli.priors.base import NoSamples, Prior

log = logging.getLogger(__name__)

WARN_ABOVE = 5  # standard errors between the two sides
KEYS = ("mi/fresh/test", "kl/test", "kl/source", "eq23/residual", "eq23/residual_in_errors")
Latents = tuple[Tensor, ...]  # (z, z') or (z,), [views * N, D] each: every source once, then once more, ...


@dataclass(frozen=True, kw_only=True)
class Eq23:
    """I by a fresh critic, the KL by a classifier, and what is left of I - KL - ELBO, on test.

    critic, critic_fit: of I, a lower bound, at most log of the test pairs that are scored. scored: these, at most.
    classifier: of the KL, between Q and P. density: of log Q(z, z'), where P's density is compared with Q's.
    samples: of P, at most.
    """

    critic: Callable[..., nn.Module]
    critic_fit: Fit
    scored: int
    classifier: RatioFit
    density: RatioFit
    samples: int

    def __post_init__(self):
        require_at_least(2, scored=self.scored)
        require_at_least(1, samples=self.samples)

    def __call__(self, reading: Reading, split: str) -> dict[str, float | str | None]:
        if split != "test":
            return {}
        if reading.objective.decoder is not None:  # the ordinary VAE, another ELBO
            return dict.fromkeys(KEYS)
        fitting = (reading.fitting_latents(part) for part in ("train", "validation"))
        elbo = reading.estimates.get("elbo/test")
        return self.both_sides(reading.objective.prior, elbo, *fitting, reading.latents("test"))

    def both_sides(
        self, prior: Prior, elbo: Estimate | None, train: Latents, validation: Latents, test: Latents
    ) -> dict[str, float | str | None]:
        """KEYS: I, the KL and its source, and I - KL - ELBO in nats and in standard errors; logged as a line.

        A single latent shares nothing: I is not reported, and the ELBO is -KL (Eq. 9). A prior that gives no samples of
        P has no KL, and no residual.
        """
        values = dict.fromkeys(KEYS)
        information = self.information(train, validation, test) if len(test) == 2 else None
        values["mi/fresh/test"] = information and information.value
        try:
            kl, values["kl/source"] = self.divergence(prior, train, validation, test)
        except NoSamples:
            return values
        values["kl/test"] = kl.value
        if elbo is None:
            return values
        sides = (information.value if information else 0.0) - kl.value
        residual = sides - elbo.value
        error = math.hypot(*(e.error for e in (information, kl, elbo) if e is not None))
        in_errors = residual / error if error else math.nan
        log.info(
            "Eq. %d on test, nats: %s - KL %.3f (%s) = %.3f, ELBO %.3f: residual %.3f, %.1f standard errors",
            23 if information else 9,
            f"I {information.value:.3f} (a fresh critic's lower bound)" if information else "0",
            kl.value, values["kl/source"], sides, elbo.value, residual, in_errors,
        )  # fmt: skip
        if abs(in_errors) > WARN_ABOVE:
            log.info("a residual this large means that one of the three was underfitted: see 'What the numbers mean'")
        return values | {"eq23/residual": residual, "eq23/residual_in_errors": in_errors}

    def information(self, train: Latents, validation: Latents, test: Latents) -> Estimate:
        """I(z; z') by K-way InfoNCE with a fresh critic, K the test pairs that are scored: at most log K."""
        rows = evenly_spaced(len(test[0]), self.scored, test[0].device)  # a table of all pairs grows with their square
        parts = normalised(Parts(Pairs(*train), Pairs(*validation), Pairs(*(z[rows] for z in test))))
        with own_stream(0, test[0].device):
            critic = self.critic(latent_dim=train[0].shape[1]).to(test[0].device)
            return fit_and_read(critic, KWay(), self.critic_fit, parts, torch.Generator().manual_seed(0))[0]

    @torch.no_grad()
    def divergence(self, prior: Prior, train: Latents, validation: Latents, test: Latents) -> tuple[Estimate, str]:
        """KL(Q || P) and how it was had: the mean logit of a classifier between Q's latents and samples of P (Sec. 3.1).

        The mean over a prior's directions, and 0 where P is Q. Too low where the classifier finds too little. In R^D
        hardly a sample of P(z, z') falls where Q is; there log Q(z, z') is fitted, and log P is known exactly.
        """
        joined = [torch.cat(split, 1) for split in (train, validation, test)]
        if (log_p := prior.log_joint(test)) is not None:
            log_q = self.density.density(*joined[:2], prior.space, seed=1)(joined[2])
            return self._named(Estimate.of_mean(log_q - log_p))
        directions = list(zip(*(prior.samplers(split) for split in (train, validation))))
        if not directions:
            return Estimate(0.0, 0.0), "exact: P is Q"
        start = prior.log_ratio_by_moments(train)
        mean, std = joined[0].mean(0), joined[0].std(0)
        std = std.clamp_min(1e-3 * std.max())
        rows = torch.zeros_like(joined[2][:, 0])
        for samplers in directions:
            with own_stream(0, rows.device):
                p, held_out = (sample(like[: self.samples]) for sample, like in zip(samplers, joined))
            drawn = (lambda like, p=p: draw_with_replacement(p, len(like)), lambda like, p=held_out: p)
            lift = lambda z: (z - mean) / std
            log_ratio = self.classifier.log_ratio(*joined[:2], drawn, seed=1, start=start, lift=lift)
            rows += log_ratio(joined[2]) / len(directions)
        return self._named(Estimate.of_mean(rows))

    @staticmethod
    def _named(kl: Estimate) -> tuple[Estimate, str]:
        return kl, "classifier" if kl.error else "classifier: found no difference"
