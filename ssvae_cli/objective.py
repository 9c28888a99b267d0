"""The objective: the ELBO in nats, from encoders, prior, estimator and decoder."""

import math
import pkgutil
from collections.abc import Sequence
from typing import get_args

import torch
from omegaconf import DictConfig, OmegaConf
from torch import Tensor, nn

from ssvae_cli.compiler import marked
from ssvae_cli.datasets.base import Shape
from ssvae_cli.decoders import ConvDecoder, ImplicitJoint
from ssvae_cli.device import Precision, full_precision
from ssvae_cli.distributed.collectives import all_reduce_mean
from ssvae_cli.distributions.posterior import Posterior
from ssvae_cli.distributions.products import power
from ssvae_cli.distributions.seeding import stream_of_rank
from ssvae_cli.encoders.base import CONTRACT as ENCODER
from ssvae_cli.encoders.base import Encoder
from ssvae_cli.encoders.posteriors import CONTRACT as POSTERIOR
from ssvae_cli.encoders.posteriors import with_density
from ssvae_cli.errors import UserError, allowed, counted, require
from ssvae_cli.estimators.base import CONTRACT as ESTIMATOR
from ssvae_cli.estimators.base import Estimator, require_gradient
from ssvae_cli.instantiate.build import build, parameters
from ssvae_cli.instantiate.groups import conf
from ssvae_cli.instantiate.types import choice_of
from ssvae_cli.priors.base import CONTRACT as PRIOR
from ssvae_cli.priors.base import Encoded, Prior, Quantity

VAE = "decoder=conv is the ordinary VAE"


class Objective(nn.Module):
    """L = E_Q [log P(z, z') - log Q(z) - log Q(z')], up to log P_true(x) + log P_true(x') (Eqs. 17, 20); of n views,
    L = E_Q [log P(z_1..z_n) - sum_i log Q(z_i)].

    joint: one implicit decoder of all views, L = E_Q [log P(z_1..z_n) - log Q(z_1..z_n)] = -KL(Q || P).
    With an explicit decoder it is the ordinary VAE's ELBO (Eq. 1), E log P(x|z) - KL(Q(z|x) || P(z)), with log P(x)
    included, the KL in closed form and no estimator; the two kinds of ELBO are never compared.
    precision: of the encoders; auto is bf16 where the hardware supports it, else float32. Scores are never bf16.
    microbatch: how many rows the encoders see at once, None for all. Raises UserError if the parts do not fit together.
    """

    def __init__(
        self,
        *,
        encoder: nn.Module,
        encoder_prime: nn.Module | None,
        prior: Prior,
        estimator: Estimator | None,
        decoder: ConvDecoder | None = None,
        joint: bool = False,
        precision: Precision = "float32",
        microbatch: int | None = None,
    ):
        super().__init__()
        self.encoder = encoder
        self.encoder_prime = encoder if encoder_prime is None else encoder_prime
        if decoder is not None:
            require_vae(encoder, prior, estimator)
        else:
            require_match({"encoder": encoder, "encoder_prime": self.encoder_prime}, prior, estimator, joint)
        self.encoder.microbatch = self.encoder_prime.microbatch = microbatch
        self.prior, self.estimator, self.precision = prior, estimator, precision
        self.decoder, self.joint = decoder, joint

    def require_batch(self, batch: int, latent_dim: int, device: torch.device) -> None:
        """Raise UserError if a step on a batch of this size has too few latents, or cannot fit in memory."""
        self.prior.require_memory(batch, device)
        if self.estimator is not None:
            joined = self.prior.views if self.joint else 1
            self.estimator.require_rows(batch, power(self.prior.space, joined), joined * latent_dim)

    @property
    def encoders(self) -> tuple[nn.Module, ...]:
        """Of each view that the prior sees: g of the first, g' of the others."""
        return self.encoder, *[self.encoder_prime] * (self.prior.views - 1)

    @property
    def largest_elbo(self) -> float:
        """Nats, an upper bound that holds for any data."""
        return min(self.prior.largest_elbo, 0.0 if self.joint else math.inf)

    def encode(self, *views: Tensor, times: Sequence[Tensor] = (), generator: torch.Generator | None = None) -> Encoded:
        """One sample of Q(z|x) of each view, [B, ...]; an unstructured prior uses the first alone, and
        further views are left. times: other times of the same sequences, which g' encodes. Raises ValueError for fewer
        views than the prior is of."""
        with self._autocast(views[0]), stream_of_rank(views[0].device):
            seen = views[: len(self.encoders)]
            posteriors = tuple(encoder(x) for encoder, x in zip(self.encoders, seen, strict=True))
            of_times = [self.encoder_prime(x) for x in times]
        latents, others = (tuple(q.sample(generator) for q in side) for side in (posteriors, of_times))
        return Encoded(latents, posteriors, others)

    def posterior(self, x: Tensor) -> Posterior:
        """x, [B, ...] -> Q(z|x) of [B, D]."""
        with self._autocast(x):
            return self.encoder(x)

    def features(self, x: Tensor) -> Tensor:
        """The backbone's features of x, for probes: [B, ...] -> [B, F], float32 or better."""
        with self._autocast(x):
            return full_precision(self.encoder.features(x))

    def represented(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The features of x, as `features`, and the mean of Q(z|x), [B, D]: by one pass of the backbone, or two of an
        encoder with its own forward, which may read more of x than its features."""
        with self._autocast(x):
            features, shared = self.encoder.features(x), type(self.encoder).forward is Encoder.forward
            posterior = self.encoder.of_features(features) if shared else self.encoder(x)
        return full_precision(features), posterior.mean

    def elbo(self, encoded: Encoded, unit: Tensor | None = None) -> Tensor:
        """The ELBO of an encoded batch in nats, [], or what `estimates_elbo` says is none; unit: x in [0, 1],
        [B, C, H, W], for an explicit decoder."""
        if self.decoder is None:
            return self.prior.elbo(self.estimator, encoded, **({"joint": True} if self.joint else {}))
        kl = all_reduce_mean(self.prior.posterior_kl(encoded.posteriors[0]))
        return all_reduce_mean(self.decoder.log_likelihood(unit, encoded.latents[0])) - self.decoder.beta * kl

    def forward(
        self,
        *views: Tensor,
        times: Sequence[Tensor] = (),
        unit: Tensor | None = None,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """The ELBO of a batch of pairs, or of n views each, in nats, []; the loss is its negative. generator: of the
        posteriors' samples; a compiled graph takes none."""
        elbo = self.elbo(self.encode(*views, times=times, generator=generator), unit)
        if self.training and torch.is_grad_enabled() and self.estimator is not None:
            require_gradient(self.estimator, elbo)
        return elbo

    def after_update(self, done: float) -> None:
        """What follows an update: a target encoder moves. done: the share of all steps that are done."""
        if hasattr(self.encoder_prime, "follow"):
            self.encoder_prime.follow(done)

    @property
    def estimates_elbo(self) -> bool:
        """Whether what training maximises estimates the ELBO."""
        return self.decoder.beta == 1 if self.estimator is None else self.estimator.estimates_elbo

    def notes(self, *, paired: bool = False) -> list[str]:
        """What the log says of it at the start. paired: whether the data have their own x'."""
        unread = f"prior={choice_of(type(self.prior))} is of one x: the x' of the data is not read"
        return [unread] * (paired and self.prior.views == 1) + self._notes_of_elbo()

    def _notes_of_elbo(self) -> list[str]:
        """Of training that estimates no ELBO, what it maximises."""
        if self.estimates_elbo:
            return []
        what = "decoder.beta" if self.estimator is None else "estimator"
        value = self.decoder.beta if self.estimator is None else self.estimator.name
        read = self.prior.no_elbo or "elbo/test is read afterwards"
        return [f"{what}={value} estimates no ELBO: training maximises objective/train; {read}"]

    @property
    def is_stochastic(self) -> bool:
        """Whether Q(z|x) or Q(z'|x') is a density and not a delta."""
        return self.encoder.stochastic or self.encoder_prime.stochastic

    def _autocast(self, x: Tensor) -> torch.autocast:
        bf16 = self.precision == "bf16" or (self.precision == "auto" and supports_bf16(x.device))
        return torch.autocast(x.device.type, dtype=torch.bfloat16, enabled=bf16)


def require_vae(encoder: nn.Module, prior: Prior, estimator: Estimator | None) -> None:
    """Raise UserError unless these parts make an ordinary VAE."""
    fault = (
        f"{VAE}, with its KL in closed form, and needs prior=unstructured_normal, got prior={choice_of(type(prior))}"
    )
    require(hasattr(prior, "posterior_kl"), fault)
    fault = f"{VAE}, with its KL in closed form: estimator={getattr(estimator, 'name', '')} has nothing to estimate"
    require(estimator is None, f"{fault}; allowed: analytic")
    require(encoder.stochastic, f"{VAE} and needs posterior=gaussian, got deterministic")


def require_match(encoders: dict[str, nn.Module], prior: Prior, estimator: Estimator | None, joint: bool) -> None:
    """Raise UserError unless the estimator estimates what the prior needs, for the latents of these encoders."""
    chosen = f"prior={choice_of(type(prior))}"
    if joint and prior.no_joint:
        explicit = ", ".join(f"prior={name}" for name, cls in classes("prior").items() if not cls.no_joint)
        raise UserError(f"decoder=implicit_joint with {chosen}: {prior.no_joint}; allowed: {explicit}")
    name = "analytic" if estimator is None else estimator.name
    if estimator is None or not serves(prior, type(estimator), joint):
        fault = f"estimator={name} cannot serve {chosen}{' with decoder=implicit_joint' if joint else ''}"
        raise UserError(f"{fault}; {allowed(name, serving_choices(prior, joint))}")
    delta = next((key for key, encoder in encoders.items() if not encoder.stochastic), None)
    fault = f"estimator={name} needs a stochastic posterior, and that of {delta} is a delta"
    remedy = ", ".join(f"posterior={name}" for name in with_density(prior.space)) or "none on this space"
    require(delta is None or not estimator.needs_density, f"{fault}; allowed: {remedy}")
    target = getattr(encoders["encoder_prime"], "is_target", False)
    fault = f"estimator={name} needs a g' without a gradient, or a constant z is the maximum"
    require(target or not estimator.needs_target, f"{fault}; allowed: encoder_prime=ema, encoder_prime=detached")


def serves(prior: Prior, estimator: type[Estimator], joint: bool = False) -> bool:
    """Whether a class of estimators estimates the prior's quantity in the prior's space; joint: of all views joined."""
    space = power(prior.space, prior.views if joint else 1)
    fits = prior.quantity in estimator.estimates and space.name in estimator.spaces
    return fits and not (estimator.needs_partner and (joint or prior.views == 1))


def serving_choices(prior: Prior, joint: bool) -> list[str]:
    """The choices of estimator=... that serve a prior."""
    return [name for name, estimator in classes("estimator").items() if serves(prior, estimator, joint)]


def classes(group: str) -> dict[str, type]:
    """The class of each choice in a group that has one."""
    targets = {path.stem: OmegaConf.load(path).get("_target_") for path in sorted((conf() / group).glob("*.yaml"))}
    return {name: pkgutil.resolve_name(target) for name, target in targets.items() if target}


@marked("assume_constant_result")
def supports_bf16(device: torch.device) -> bool:
    """Whether the device has instructions for products of bfloat16: GPUs from Ampere on, CPUs with AVX-512 bf16 or AMX.
    Others emulate them, at a fraction of float32's speed."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    return torch.cpu._is_avx512_bf16_supported()  # true of every CPU with AMX


def make_prior(cfg: DictConfig, views: int) -> Prior:
    """The prior of a composed configuration, whose pairs have so many views. Raises UserError if it is not of them."""
    dim, negatives = cfg.encoder.get("latent_dim"), cfg.pairs.get("negatives", "across")
    valid = isinstance(dim, int) and not isinstance(dim, bool) and 1 <= dim < 2**63
    require(valid, f"encoder.latent_dim, the dimension of z, must be an integer of at least 1, got {dim!r}")
    prior = build(cfg.prior, "prior", PRIOR, latent_dim=dim, views=views, negatives=negatives)
    known, named = get_args(Quantity), f"{type(prior).__name__}.quantity is {prior.quantity!r}"
    require(prior.quantity in known, f"prior: {named}; {allowed(str(prior.quantity), known)}")
    chosen = f"prior={choice_of(type(prior))}"
    fault = f"{chosen} is on a sphere, which needs encoder.latent_dim of at least 2, got {dim}"
    require(prior.space.name != "sphere" or dim >= 2, fault)
    takes = negatives == "across" or "negatives" in parameters(type(prior))
    fault = f"pairs.negatives={negatives} says what a critic's candidates are, and {chosen} takes none"
    require(takes, f"{fault}; allowed: prior=infonce, prior=mi, or pairs.negatives=across")
    for key, value in prior.of_further_views.items():
        one = f"prior.{key}={value} is of more than two views, and the pairs have two; leave it out"
        require(views > 2 or cfg.prior.get(key) != value, one)
    if prior.views not in (1, views):
        several = ", ".join(f"prior={name}" for name, cls in classes("prior").items() if "views" in parameters(cls))
        fault = f"{chosen} is of {counted(prior.views, 'latent')}, and the pairs have {counted(views, 'view')}"
        raise UserError(f"{fault}; allowed for any number: {several}")
    prior.require_promised(dim)
    return prior


def make_objective(cfg: DictConfig, shape: Shape, *shapes: Shape) -> Objective:
    """The objective that a composed configuration describes, for views of these shapes: one x, one x' and so on."""
    shape_prime, views = shapes[0], 1 + len(shapes)
    prior, dim = make_prior(cfg, views), cfg.encoder.latent_dim
    prime = cfg.encoder if cfg.encoder_prime == "separate" else cfg.encoder_prime
    fault = f"g' cannot share g's weights, as one x is {list(shape)} and one x' {list(shape_prime)}"
    remedy = "give encoder_prime=separate, or an encoder of another kind by encoder@encoder_prime=..."
    fits = prime is not None or prior.views == 1 or shape == shape_prime
    require(fits, f"encoder_prime=shared: {fault}; {remedy}")
    of_z = {"space": prior.space, "posterior": build(cfg.posterior, "posterior", POSTERIOR)}
    encoder = build(cfg.encoder, "encoder", ENCODER, shape=shape, **of_z)
    if prime is not None:
        if isinstance(prime, DictConfig):
            prime = OmegaConf.masked_copy(prime, [key for key in prime if key != "latent_dim"])
        prime = build(prime, "encoder_prime", ENCODER, shape=shape_prime, latent_dim=dim, online=encoder, **of_z)
    decoder = None if cfg.decoder is None else build(cfg.decoder, "decoder", shape=shape, latent_dim=dim)
    joint = isinstance(decoder, ImplicitJoint)
    sizes = {"latent_dim": dim, "views": views, "dims": [views * dim, dim] if joint else [dim] * views}
    return Objective(
        encoder=encoder,
        encoder_prime=prime,
        prior=prior,
        estimator=None if cfg.estimator is None else build(cfg.estimator, "estimator", ESTIMATOR, **sizes),
        decoder=None if joint else decoder,
        joint=joint,
        precision=cfg.trainer.precision,
        microbatch=cfg.trainer.microbatch,
    )
