"""The objective: encoders, prior, estimator and decoder make one number, the ELBO in nats."""

from typing import Literal

import torch
from omegaconf import DictConfig
from torch import Tensor, nn

from ssvae_cli import ranks
from ssvae_cli.build import build, choice_of
from ssvae_cli.datasets.base import Shape
from ssvae_cli.encoders import with_density
from ssvae_cli.errors import nearest, require
from ssvae_cli.priors.base import Encoded, Prior

Precision = Literal["float32", "bf16", "auto"]


class Objective(nn.Module):
    """L = E_Q [log P(z, z') - log Q(z) - log Q(z')], up to log P_true(x) + log P_true(x') (Eqs. 17, 20).

    With an explicit decoder it is the ordinary VAE's ELBO (Eq. 1), E log P(x|z) - KL(Q(z|x) || P(z)), log P(x)
    included; the two are never compared. precision: the encoders', auto: bf16 on a device that multiplies in it, else
    float32; scores are always float32. microbatch: how many rows the encoders see at once, None for all.
    Raises UserError for parts that do not belong together.
    """

    def __init__(
        self,
        *,
        encoder,
        encoder_prime,
        prior: Prior,
        estimator,
        decoder=None,
        precision: Precision = "float32",
        microbatch: int | None = None,
    ):
        super().__init__()
        name, chosen = estimator.name, f"prior={choice_of(type(prior))}"
        serving = [s for s in prior.served_by if (s == "analytic") == (decoder is not None)]
        if decoder is not None:
            require(
                serving != [], f"decoder=conv is the ordinary VAE and needs prior=unstructured_normal, got {chosen}"
            )
            require(encoder.stochastic, "decoder=conv needs encoder.posterior=gaussian, got deterministic")
        beside = " beside decoder=conv" if decoder is not None else ""
        require(name in serving, f"estimator={name} cannot serve {chosen}{beside}; {nearest(name, serving)}")
        stochastic = encoder.stochastic and (encoder_prime is None or encoder_prime.stochastic)
        require(
            stochastic or not getattr(estimator, "needs_density", False),
            f"estimator={name} needs a stochastic posterior, got encoder.posterior=deterministic; "
            f"allowed: {', '.join(with_density(prior.space)) or 'none on this space'}",
        )
        self.encoder = encoder
        self.encoder_prime = encoder if encoder_prime is None else encoder_prime
        self.encoder.microbatch = self.encoder_prime.microbatch = microbatch
        self.prior = prior
        self.estimator = estimator
        self.decoder = decoder
        self.precision = precision

    def encode(self, x: Tensor, x_prime: Tensor, generator: torch.Generator | None = None) -> Encoded:
        """One sample of Q(z|x) and of Q(z'|x'); an unstructured prior sees x alone. x, x': [B, ...]."""
        with self._autocast(x):
            posterior = self.encoder(x)
            posterior_prime = self.encoder_prime(x_prime) if self.prior.views == 2 else None
        return Encoded(
            z=posterior.sample(generator),
            z_prime=None if posterior_prime is None else posterior_prime.sample(generator),
            posterior=posterior,
            posterior_prime=posterior_prime,
        )

    def posterior(self, x: Tensor):
        """Q(z|x), [B, ...] -> a posterior over [B, D]."""
        with self._autocast(x):
            return self.encoder(x)

    def features(self, x: Tensor) -> Tensor:
        """What probes read: the backbone's features of x, [B, ...] -> float32 [B, F]."""
        with self._autocast(x):
            return self.encoder.features(x).float()

    def forward(self, x: Tensor, x_prime: Tensor, unit: Tensor | None = None, generator=None) -> Tensor:
        """The ELBO of a batch of pairs in nats, []; the loss is its negative.

        unit: [B, C, H, W], x in [0, 1], what an explicit decoder is asked to explain.
        """
        encoded = self.encode(x, x_prime, generator)
        elbo = self.prior.elbo(self.estimator, encoded)
        if self.decoder is not None:
            elbo = elbo + ranks.mean(self.decoder.log_likelihood(unit, encoded.z))
        return elbo

    def _autocast(self, x: Tensor) -> torch.autocast:
        bf16 = self.precision == "bf16" or (self.precision == "auto" and multiplies_bf16(x.device))
        return torch.autocast(x.device.type, dtype=torch.bfloat16, enabled=bf16)


@torch.compiler.assume_constant_result
def multiplies_bf16(device: torch.device) -> bool:
    """Whether the device has instructions for products of bfloat16: GPUs from Ampere on, CPUs with AVX-512 bf16 or AMX.

    Others emulate them, at a fraction of float32's speed.
    """
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    return torch.cpu._is_avx512_bf16_supported()  # what has AMX has it too


def make_objective(cfg: DictConfig, shape: Shape, shape_prime: Shape) -> Objective:
    """The objective that a composed configuration describes, for one x and one x' of these shapes."""
    prior = build(cfg.prior, "prior")
    prime, decoder = cfg.encoder_prime, cfg.decoder
    require(
        prime is not None or prior.views == 1 or shape == shape_prime,
        f"encoder_prime=shared: g' cannot share g's weights, as one x is {list(shape)} and one x' {list(shape_prime)}; "
        "give encoder_prime=separate, or an encoder of another kind",
    )
    encoder = build(cfg.encoder, "encoder", shape=shape, space=prior.space)
    if prime is not None:
        encoder_prime = build(prime, "encoder_prime", shape=shape_prime, space=prior.space)
        dim, dim_prime = cfg.encoder.latent_dim, prime.latent_dim
        require(dim == dim_prime, f"encoder_prime.latent_dim must be {dim}, as encoder's, got {dim_prime}")
    return Objective(
        encoder=encoder,
        encoder_prime=None if prime is None else encoder_prime,
        prior=prior,
        estimator=build(cfg.estimator, "estimator"),
        decoder=None if decoder is None else build(decoder, "decoder", shape=shape, latent_dim=cfg.encoder.latent_dim),
        precision=cfg.trainer.precision,
        microbatch=cfg.trainer.microbatch,
    )
