"""Eq. 23, L = I(z; z') - KL(Q(z, z') || P(z, z')): I and KL, and a residual that shows where they disagree."""

import logging
import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

from ssvae_cli.datasets.base import evenly_spaced
from ssvae_cli.distributions.seeding import own_stream
from ssvae_cli.errors import require_at_least
from ssvae_cli.evaluation import seeds
from ssvae_cli.evaluation.categories import Categories
from ssvae_cli.evaluation.degeneracy import constant_latent
from ssvae_cli.evaluation.densities import Latents
from ssvae_cli.evaluation.estimate import INTERVAL, Z95, Enclosed, Estimate, rest_of_kl
from ssvae_cli.evaluation.explicit import Explicit
from ssvae_cli.evaluation.fit import Fit
from ssvae_cli.evaluation.fresh_critics import further_views, lower_bound
from ssvae_cli.evaluation.ratio import Joined, LogRatio, RatioFit, normal_ratio, normaliser
from ssvae_cli.evaluation.reading import Reading
from ssvae_cli.priors.base import NoSamples, Prior
from ssvae_cli.tracking.missing import Missing

log = logging.getLogger(__name__)
WARN_ABOVE = 5  # standard errors between the two sides
RESIDUAL = ("eq23/residual", "eq23/residual_in_errors")
KEYS = (
    *(f"{name}/test{end}" for name in ("mi/fresh", "kl") for end in INTERVAL),
    "kl/marginal/test", "kl/conditional/test", "kl/source", *RESIDUAL,
)  # fmt: skip
Start = Callable[[Joined, Joined], LogRatio | None]  # of Q, of P -> log Q/P
Values = dict[str, float | str | Missing | None]


@dataclass(frozen=True, kw_only=True)
class Eq23:
    """I, KL(Q || P) and their intervals, the KL of the marginal and of the conditional, and the residual, on test.

    Under an explicit prior all three sides of Eq. 23 are read by `Explicit`, and the residual tests that densities of
    the pair by both conditionals agree and that log P is the density of P's samples. Under a prior of scores I is a
    fresh critic's lower bound, and the KL a classifier's.
    """

    critic: Callable[..., nn.Module]  # for I, a lower bound
    critic_fit: Fit
    scored: int  # test pairs, at most; the critic's bound is at most the log of their number
    classifier: RatioFit  # between Q and samples of P
    samples: int  # of P, at most

    def __post_init__(self):
        require_at_least(2, scored=self.scored)
        require_at_least(1, samples=self.samples)
        with own_stream(0, torch.device("cpu")):
            self.critic(latent_dim=2)  # refuses its settings now, and not after training

    @torch.no_grad()
    def __call__(self, reading: Reading, split: str) -> Values:
        if split != "test":
            return {}
        if reading.objective.decoder is not None:  # the ordinary VAE has another ELBO
            return dict.fromkeys(KEYS)
        prior, elbo = reading.objective.prior, reading.estimates.get("elbo/test")
        if categories := reading.categories():
            return dict.fromkeys(KEYS) | of_categories(categories, elbo)
        latents = (*map(reading.fitting_latents, ("train", "validation")), reading.latents("test"))
        views = len(latents[0])
        if fault := further_views(latents[0]):
            return dict.fromkeys(KEYS, fault)
        bound = lower_bound(self.critic, self.critic_fit, self.scored, *latents) if views == 2 else None
        if prior.needs_densities:
            explicit = reading.explicit()
            values, residual = self.of_explicit(explicit, elbo, bound, *reading.most_information())
        else:
            values, residual = self.of_scores(prior, elbo, bound, *latents)
        equation = 9 if views == 1 or reading.objective.joint else 23  # of -KL, or of I - KL
        return dict.fromkeys(KEYS) | values | residual_values(values, elbo, residual, equation)

    def of_explicit(
        self,
        explicit: Explicit | Missing,
        elbo: Enclosed | None,
        bound: Estimate | Missing | None,
        most: float,
        what: str,
    ) -> tuple[Values, Estimate | Missing | None]:
        """All but the residual's keys, and the residual. bound: of I, by a critic; most: what I can be, as `what`."""
        if isinstance(explicit, Missing):
            return at_least(bound) | Enclosed.lacking(explicit).named("kl/test"), explicit
        values = at_least(bound)
        if bound is not None:
            information = explicit.information().within(0.0, most, what)
            values = bounded(information, bound).named("mi/fresh/test")
        kl = explicit.divergence()
        values |= kl.named("kl/test") | {"kl/source": "densities" if explicit.mixture is None else "posteriors"}
        marginal = explicit.marginal_divergence()
        if len(explicit.latents) == 2 and marginal is not None:
            values |= {"kl/marginal/test": marginal.value, "kl/conditional/test": rest_of_kl(kl, marginal)}
        if elbo is None:
            return values, None
        if isinstance(elbo.value, Missing):
            return values, elbo.value
        try:
            correction, doubt = self.correction(explicit)
        except NoSamples:
            return values, Missing("the prior has no samples, by which log P could be checked")
        residual = explicit.residual(correction, elbo)
        return values, residual._replace(error=math.hypot(residual.error, doubt))

    def of_scores(
        self, prior: Prior, elbo: Enclosed | None, information: Estimate | Missing, *latents: Latents
    ) -> tuple[Values, Estimate | Missing | None]:
        """The same under a prior of scores. latents: of train, validation and test."""
        kl, source = self.divergence(prior, *latents)
        both = (kl, kl) if isinstance(kl, Missing) else kl
        values = at_least(information) | {"kl/test": both[0], "kl/test/error": both[1], "kl/source": source}
        faults = [term for term in (information, kl, elbo and elbo.value) if isinstance(term, Missing)]
        if faults or elbo is None:
            return values, faults[0] if faults else None
        error = math.hypot(information.error, kl.error, elbo.error)
        return values, Estimate(information.value - kl.value - elbo.value, error)

    def divergence(
        self, prior: Prior, train: Latents, validation: Latents, test: Latents
    ) -> tuple[Estimate, str] | tuple[Missing, None]:
        """KL(Q || P) and its source: the mean logit of a classifier between Q's latents and samples of P (Sec. 3.1).

        The mean over the directions of the prior; 0 where P is Q. Too low where the classifier is too weak: its error
        contains what it gains by a second half of train. Missing where z or z' is constant: no classifier then learns.
        """
        if prior.no_elbo:
            return Missing(prior.no_elbo), None
        if not prior.samplers(train):
            return Estimate(0.0, 0.0), "exact: P is Q"
        if constant := constant_latent(train):
            return constant, None
        kl = self._log_ratio(prior, train, validation, normal_ratio)(torch.cat(test, 1))
        doubt = self._doubt(prior, train, validation, test, kl)
        mean = Estimate.of_mean(kl)
        if not math.isfinite(mean.value):
            return Missing("the classifier's logits between Q and P are not finite"), None
        found = "classifier" if mean.error else "classifier: found no difference"
        return Estimate(mean.value, math.hypot(mean.error, doubt)), found

    def correction(self, explicit: Explicit) -> tuple[torch.Tensor, float]:
        """What a classifier between Q and samples of P adds to the densities' log Q/P of test pairs, [n]; its error.

        The sum is normalised, E_P Q/P = 1: where Q and P lie far apart, the classifier's loss hardly holds its logit.
        Where the normaliser is unknown, what it seems to be is in the error."""
        start = lambda joined: explicit.log_ratio(joined.chunk(len(explicit.latents), 1))
        given = lambda of_q, of_p: start
        prior, train, validation = explicit.prior, explicit.densities.train, explicit.densities.validation
        joined = torch.cat(explicit.latents, 1)
        log_ratio = self._log_ratio(prior, train, validation, given)
        (sample,), like = prior.samplers(train), joined[:1].expand(self.samples, -1)
        with own_stream(seeds.PRIOR + 2, joined.device):
            over_p = normaliser(log_ratio(sample(like)))
        of_test = log_ratio(joined)
        added, doubt = of_test - start(joined), self._doubt(prior, train, validation, explicit.latents, of_test, given)
        if math.isfinite(over_p.error):
            return added - over_p.value, math.hypot(doubt, over_p.error)
        return added, math.hypot(doubt, over_p.value)

    def _doubt(
        self,
        prior: Prior,
        train: Latents,
        validation: Latents,
        test: Latents,
        log_ratio: torch.Tensor,
        start: Start | None = None,
    ) -> float:
        """The difference that another classifier makes, on half of train and other samples of P, nats."""
        rows = torch.randperm(len(train[0]), generator=torch.Generator().manual_seed(0))[: -(-len(train[0]) // 2)]
        half = tuple(z[rows.to(z.device)] for z in train)
        other = self._log_ratio(prior, half, validation, start, seed=1)(torch.cat(test, 1))
        return abs((log_ratio - other).mean().item())

    def _log_ratio(
        self, prior: Prior, train: Latents, validation: Latents, start: Start | None = None, seed: int = 0
    ) -> LogRatio:
        """log Q/P by a classifier, the mean over the prior's directions; start: where it begins, None for Q = P."""
        joined, device = [torch.cat(split, 1) for split in (train, validation)], train[0].device
        ratios = []
        for samplers in zip(*(prior.samplers(split) for split in (train, validation))):
            with own_stream(seeds.PRIOR + seed, device):
                spread = lambda z: z[evenly_spaced(len(z), self.samples, device)]
                of_p = tuple(sample(spread(like)) for sample, like in zip(samplers, joined))
            begin = start and start(joined, of_p)
            ratios.append(self.classifier.log_ratio(*joined, of_p, seed=seed, start=begin))
        return lambda z: sum(ratio(z) for ratio in ratios) / len(ratios)


def of_categories(categories: Categories, elbo: Enclosed | None) -> Values:
    """All keys, by exact sums; the residual is rounding."""
    information, kl, marginal = categories.information(), categories.divergence(), categories.marginal_divergence()
    values = information.named("mi/fresh/test") | kl.named("kl/test") | {"kl/source": "exact sums"}
    values |= {"kl/marginal/test": marginal.value, "kl/conditional/test": kl.value - marginal.value}
    gain, equation = (0.0, 9) if categories.joint else (information.value, 23)
    residual = None if elbo is None else Estimate(gain - kl.value - elbo.value, 0.0)
    return values | residual_values(values, elbo, residual, equation)


def at_least(bound: Estimate | Missing | None) -> Values:
    """The keys of I where a critic's lower bound is all there is."""
    information = Enclosed.lacking(bound)
    if isinstance(bound, Estimate):
        information = Enclosed(*bound, bound.value - Z95 * bound.error, None)
    return information.named("mi/fresh/test")


def bounded(information: Enclosed, bound: Estimate | Missing) -> Enclosed:
    """The estimate of I, its interval bounded by a critic; the bound itself where the estimate lies below it."""
    if isinstance(bound, Missing):
        return information
    low = bound.value - Z95 * bound.error
    if isinstance(information.low, float):
        low = max(low, information.low)
    if isinstance(information.value, Missing):
        return information._replace(low=low)
    below = bound.value - information.value
    if below > Z95 * bound.error:
        return information._replace(value=bound.value, error=math.hypot(bound.error, below), low=low)
    return information._replace(low=low)


def residual_values(
    values: Values, elbo: Enclosed | None, residual: Estimate | Missing | None, equation: int
) -> Values:
    """The residual's keys, and a line of the log that says what Eq. 23 reads, or Eq. 9, where the ELBO is -KL."""
    if not isinstance(residual, Estimate):
        return dict.fromkeys(RESIDUAL, residual)
    known = math.isfinite(residual.error) and residual.error > 0
    lacking = "both sides are exact sums" if residual.error == 0 else "the standard error of the residual is unknown"
    in_errors = residual.value / residual.error if known else Missing(lacking)
    nats = lambda key: f"{values[key]:.3f}" if isinstance(values.get(key), float) else "unknown"
    log.info(
        "Eq. %d on test, nats: %sKL %s (%s), ELBO %.3f: residual %.3f%s",
        equation, f"I {nats('mi/fresh/test')}, " if equation == 23 else "", nats("kl/test"), values["kl/source"],
        elbo.value, residual.value, f", {in_errors:.1f} standard errors" if known else "",
    )  # fmt: skip
    if isinstance(values.get("kl/conditional/test"), float):
        log.info("KL = %s of P(z) + %s of P(z'|z)", nats("kl/marginal/test"), nats("kl/conditional/test"))
    if known and abs(in_errors) > WARN_ABOVE:
        log.info("a residual this large means that one of the three was underfitted: see 'What the numbers mean'")
    return dict(zip(RESIDUAL, (residual.value, in_errors)))
