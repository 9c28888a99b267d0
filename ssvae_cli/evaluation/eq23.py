"""Eq. 23, L = I(z; z') - KL(Q(z, z') || P(z, z')): I and KL, estimated independently of each other and of the ELBO."""

import logging
import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ssvae_cli.distributions.seeding import own_stream
from ssvae_cli.errors import require_at_least
from ssvae_cli.estimators import InfoNCE as KWay
from ssvae_cli.evaluation.degeneracy import constant_latent
from ssvae_cli.evaluation.densities import RatioFit, draw_with_replacement
from ssvae_cli.evaluation.estimate import Estimate
from ssvae_cli.evaluation.fit import Fit
from ssvae_cli.evaluation.fresh_critics import fit_and_read, no_information
from ssvae_cli.evaluation.reading import Reading
from ssvae_cli.evaluation.rows import evenly_spaced
from ssvae_cli.evaluation.samples import Pairs, Parts, normalised
from ssvae_cli.priors.base import NoSamples, Prior
from ssvae_cli.tracking.missing import Missing

log = logging.getLogger(__name__)
WARN_ABOVE = 5  # standard errors between the two sides
KEYS = ("mi/fresh/test", "kl/test", "kl/source", "eq23/residual", "eq23/residual_in_errors")
Latents = tuple[Tensor, ...]  # (z, z') or (z,), [views * N, D] each: every source once, then once more, ...


@dataclass(frozen=True, kw_only=True)
class Eq23:
    """I by a fresh critic, the KL by a classifier, and the residual I - KL - ELBO, on test."""

    critic: Callable[..., nn.Module]  # for I, a lower bound
    critic_fit: Fit
    scored: int  # test pairs, at most; I is at most the log of their number
    classifier: RatioFit  # for the KL, between Q and P
    density: RatioFit  # for log Q(z, z') in the KL, where the density of P is known
    samples: int  # of P, at most

    def __post_init__(self):
        require_at_least(2, scored=self.scored)
        require_at_least(1, samples=self.samples)
        with own_stream(0, torch.device("cpu")):
            self.critic(latent_dim=2)  # refuses its settings now, and not after training

    def __call__(self, reading: Reading, split: str) -> dict[str, float | str | Missing | None]:
        if split != "test":
            return {}
        if reading.objective.decoder is not None:  # the ordinary VAE has another ELBO
            return dict.fromkeys(KEYS)
        fitting = (reading.fitting_latents(part) for part in ("train", "validation"))
        elbo = reading.estimates.get("elbo/test")
        no_kl = reading.infinite_entropy()  # Q has no density, and P has one
        return self.both_sides(reading.objective.prior, elbo, *fitting, reading.latents("test"), no_kl)

    def both_sides(
        self,
        prior: Prior,
        elbo: Estimate | Missing | None,
        train: Latents,
        validation: Latents,
        test: Latents,
        no_kl: Missing | None = None,
    ) -> dict[str, float | str | Missing | None]:
        """KEYS: I, the KL and its source, and I - KL - ELBO in nats and in standard errors; one log line.

        A single latent has no partner: I is not reported, and the ELBO is -KL (Eq. 9). A prior without samples of P has
        no KL and no residual. Where one of the three is Missing, so is the residual, for the same reason. no_kl: why
        the KL is, if that is known.
        """
        values = dict.fromkeys(KEYS)
        information = self.information(train, validation, test) if len(test) == 2 else None
        values["mi/fresh/test"] = information.value if isinstance(information, Estimate) else information
        try:
            kl, values["kl/source"] = (no_kl, None) if no_kl else self.divergence(prior, train, validation, test)
        except NoSamples:
            return values
        values["kl/test"] = kl.value if isinstance(kl, Estimate) else kl
        faults = [term for term in (information, kl, elbo) if isinstance(term, Missing)]
        if faults:
            return values | dict.fromkeys(["eq23/residual", "eq23/residual_in_errors"], faults[0])
        if elbo is None:
            return values
        sides = (information.value if information else 0.0) - kl.value
        residual = sides - elbo.value
        error = math.hypot(*(e.error for e in (information, kl, elbo) if e is not None))
        known = math.isfinite(error) and error > 0
        in_errors = residual / error if known else Missing("the standard error of the residual is unknown")
        log.info(
            "Eq. %d on test, nats: %s - KL %.3f (%s) = %.3f, ELBO %.3f: residual %.3f%s",
            23 if information else 9,
            f"I {information.value:.3f} (a fresh critic's lower bound)" if information else "0",
            kl.value, values["kl/source"], sides, elbo.value, residual,
            f", {in_errors:.1f} standard errors" if known else "",
        )  # fmt: skip
        if known and abs(in_errors) > WARN_ABOVE:
            log.info("a residual this large means that one of the three was underfitted: see 'What the numbers mean'")
        return values | {"eq23/residual": residual, "eq23/residual_in_errors": in_errors}

    def information(self, train: Latents, validation: Latents, test: Latents) -> Estimate | Missing:
        """I(z; z') by K-way InfoNCE with a fresh critic, K the number of test pairs scored: at most log K."""
        if fault := no_information(train, validation, test):
            return fault
        rows = evenly_spaced(len(test[0]), self.scored, test[0].device)  # the table of all pairs grows with the square
        parts = normalised(Parts(Pairs(*train), Pairs(*validation), Pairs(*(z[rows] for z in test))))
        with own_stream(0, test[0].device):
            critic = self.critic(latent_dim=train[0].shape[1]).to(test[0].device)
            return fit_and_read(critic, KWay(), self.critic_fit, parts, torch.Generator().manual_seed(0))[0]

    @torch.no_grad()
    def divergence(
        self, prior: Prior, train: Latents, validation: Latents, test: Latents
    ) -> tuple[Estimate, str] | tuple[Missing, None]:
        """KL(Q || P) and its source: the mean logit of a classifier between Q's latents and samples of P (Sec. 3.1).

        The mean over the directions of the prior; 0 where P is Q. Too low where the classifier is too weak. In R^D
        hardly any samples of P(z, z') fall where Q has mass; there log Q(z, z') is fitted, and log P is known exactly.
        Missing where z or z' is constant: a classifier has nothing to tell apart.
        """
        joined = [torch.cat(split, 1) for split in (train, validation, test)]
        constant = constant_latent(train)
        if (log_p := prior.log_joint(test)) is not None:
            if constant:
                return constant, None
            log_ratio = self.density.density(*joined[:2], prior.space, seed=1)(joined[2]) - log_p
        else:
            directions = list(zip(*(prior.samplers(split) for split in (train, validation))))
            if not directions:
                return Estimate(0.0, 0.0), "exact: P is Q"
            if constant:
                return constant, None
            start = prior.log_ratio_by_moments(train)
            mean, std = joined[0].mean(0), joined[0].std(0)
            std = std.clamp_min(1e-3 * std.max())
            lift = lambda z: (z - mean) / std
            log_ratio = torch.zeros_like(joined[2][:, 0])
            for samplers in directions:
                with own_stream(0, log_ratio.device):
                    spread = lambda z: z[evenly_spaced(len(z), self.samples, z.device)]
                    p, held_out = (sample(spread(like)) for sample, like in zip(samplers, joined))
                draws = (lambda like, p=p: draw_with_replacement(p, len(like)), lambda like, p=held_out: p)
                of_direction = self.classifier.log_ratio(*joined[:2], draws, seed=1, start=start, lift=lift)
                log_ratio += of_direction(joined[2]) / len(directions)
        kl = Estimate.of_mean(log_ratio)
        if not math.isfinite(kl.value):
            return Missing("the classifier's logits between Q and P are not finite"), None
        return kl, "classifier" if kl.error else "classifier: found no difference"
