"""Posteriors Q(z|x): a delta, probabilities of categories, or a density that is sampled by reparametrisation.

A family, which the configuration chooses, turns the encoder's output, [B, width(D)], into the Q(z|x) of a batch."""

import math
import pkgutil
from abc import ABC, abstractmethod

import torch
from omegaconf import OmegaConf
from torch import Tensor
from torch.nn import functional as F

from ssvae_cli.device import full_precision
from ssvae_cli.distributed.collectives import draw_rows
from ssvae_cli.distributions import gamma
from ssvae_cli.distributions.posterior import Posterior
from ssvae_cli.distributions.spaces import Space
from ssvae_cli.errors import require, require_above
from ssvae_cli.instantiate.build import Contract
from ssvae_cli.instantiate.groups import conf

CONTRACT = Contract(
    ("stochastic", "spaces", "width"),
    "a posterior derives from Family of ssvae_cli.encoders.posteriors",
)


class Family(ABC):
    """Q(z|x) from the parameters that an encoder gives."""

    stochastic = True  # whether Q(z|x) is a density, and not a delta
    spaces: tuple[str, ...]  # on which it lives

    @abstractmethod
    def width(self, latent_dim: int) -> int:
        """How many numbers the encoder has to give."""

    def on(self, space: type[Space]) -> "Family":
        """The family that serves a space: this one, unless it chooses by the space."""
        return self

    @abstractmethod
    def __call__(self, parameters: Tensor, space: type[Space]) -> Posterior:
        """The encoder's output, [B, width(D)], and the prior's space -> Q(z|x) of the batch."""


class Deterministic(Family):
    """Q(z|x) = delta(z - g(x))."""

    stochastic = False
    spaces = ("euclidean", "sphere", "box")

    def width(self, latent_dim):
        return latent_dim

    def __call__(self, parameters, space):
        return Delta(space.project(full_precision(parameters)))


class Categorical(Deterministic):
    """Q(c|x) over K = D categories, by a softmax. z is these probabilities: expectations over c are exact sums, and
    nothing is sampled."""

    spaces = ("simplex",)


class Gaussian(Family):
    """Q(z|x) = N(mean, diag(std)^2) in R^D; a tanh keeps log std between the logs of least_std and largest_std, so that
    the noise can neither vanish nor explode: an entropy by a mixture of posteriors needs it."""

    spaces = ("euclidean",)

    def __init__(self, *, least_std: float, largest_std: float):
        require_above(0, least_std=least_std)
        fault = f"largest_std must be above least_std, got {largest_std} and {least_std}"
        require(largest_std > least_std, fault)
        low, high = math.log(least_std), math.log(largest_std)
        self.middle, self.half = 0.5 * (low + high), 0.5 * (high - low)

    def width(self, latent_dim):
        return 2 * latent_dim

    def __call__(self, parameters, space):
        return Normal(*self.bounded(parameters))

    def bounded(self, parameters: Tensor) -> tuple[Tensor, Tensor]:
        """(mean, log std), [B, D] each."""
        mean, raw = full_precision(parameters).chunk(2, dim=1)
        return mean, self.middle + self.half * torch.tanh(raw / self.half)


class LogitNormal(Gaussian):
    """Q(z|x) of z = logistic(u), u a gaussian posterior's: in the unit box. The std are those of u."""

    spaces = ("box",)

    def __call__(self, parameters, space):
        return LogitOfNormal(*self.bounded(parameters))


class PowerSpherical(Family):
    """Q(z|x) on the unit sphere, proportional to (1 + mean^T z)^kappa (De Cao & Aziz 2020): shaped like a von
    Mises-Fisher density, but sampled without rejection. kappa is within a factor of 20 of D."""

    spaces = ("sphere",)

    def width(self, latent_dim):
        return latent_dim + 1

    def __call__(self, parameters, space):
        parameters = full_precision(parameters)
        mean = space.project(parameters[:, :-1])
        return Spherical(mean, mean.shape[1] * torch.exp(3 * torch.tanh(parameters[:, -1] / 3)))


class Stochastic(Gaussian):
    """The density that suits the prior's space: normal in R^D, power spherical on the sphere, logit-normal in the
    box."""

    spaces = ("euclidean", "sphere", "box")

    def __init__(self, *, least_std: float, largest_std: float):
        super().__init__(least_std=least_std, largest_std=largest_std)
        limits = {"least_std": least_std, "largest_std": largest_std}
        families = Gaussian(**limits), LogitNormal(**limits), PowerSpherical()
        self.families = {family.spaces[0]: family for family in families}

    def on(self, space):
        return self.families.get(space.name, self)


class Delta:
    """The posterior of a deterministic encoder. mean: [B, D]."""

    stochastic = False

    def __init__(self, mean: Tensor):
        self.mean = mean

    def sample(self, generator: torch.Generator | None = None) -> Tensor:
        """z = g(x), [B, D], float32 or better."""
        return self.mean


class Normal:
    """N(mean, diag(exp(log_std))^2), both [B, D]."""

    stochastic = True

    def __init__(self, mean: Tensor, log_std: Tensor):
        self.mean, self.log_std = mean, log_std

    def sample(self, generator: torch.Generator | None = None) -> Tensor:
        """z = mean + std * noise, [B, D], float32 or better; gradients reach mean and std."""
        noise = draw_rows(torch.randn, *self.mean.shape, device=self.mean.device, generator=generator)
        return self.mean + self.log_std.exp() * noise

    def log_prob(self, z: Tensor) -> Tensor:
        """log Q(z|x), [B, D] -> [B], nats."""
        whitened = (z - self.mean) * torch.exp(-self.log_std)
        return (-0.5 * whitened**2 - self.log_std - 0.5 * math.log(2 * math.pi)).sum(-1)

    def log_prob_table(self, z: Tensor) -> Tensor:
        """log Q(z_i|x_j), [N, D] -> [N, B], nats; not by matrix products, whose rounding a small std would magnify."""
        return self.log_prob(z[:, None])

    def kl_standard_normal(self) -> Tensor:
        """KL(Q(z|x) || N(0, I)), [B], nats."""
        return (0.5 * (self.mean**2 + torch.exp(2 * self.log_std) - 1) - self.log_std).sum(1)


class LogitOfNormal:
    """z = logistic(u), u of N(centre, exp(log_std)^2) in each dimension. mean: [B, D], the medians of z."""

    stochastic = True

    def __init__(self, centre: Tensor, log_std: Tensor):
        self.u, self.mean = Normal(centre, log_std), centre.sigmoid()

    def sample(self, generator: torch.Generator | None = None) -> Tensor:
        """[B, D], float32 or better, inside the box; gradients reach centre and std."""
        tiny = torch.finfo(self.mean.dtype).eps
        return self.u.sample(generator).sigmoid().clamp(tiny, 1 - tiny)

    def log_prob(self, z: Tensor) -> Tensor:
        """log Q(z|x), [B, D] -> [B], nats."""
        return self.u.log_prob(z.logit()) - _log_slope(z)

    def log_prob_table(self, z: Tensor) -> Tensor:
        """log Q(z_i|x_j), [N, D] -> [N, B], nats."""
        return self.u.log_prob_table(z.logit()) - _log_slope(z)[:, None]


def _log_slope(z: Tensor) -> Tensor:
    """log |dz/du| of z = logistic(u), [B]."""
    return (z.log() + torch.log1p(-z)).sum(-1)


class Spherical:
    """The power spherical density. mean: [B, D] of length 1; kappa: [B]."""

    stochastic = True

    def __init__(self, mean: Tensor, kappa: Tensor):
        self.mean, self.kappa = mean, kappa

    def sample(self, generator: torch.Generator | None = None) -> Tensor:
        """[B, D], float32 or better; gradients reach mean and kappa."""
        count, dim = self.mean.shape
        normal = draw_rows(torch.randn, count, dim - 1, device=self.mean.device, generator=generator)
        # (1 + cosine) / 2 is a beta variable, along / (along + across) of two gamma variables.
        along = gamma.sample(0.5 * (dim - 1) + self.kappa, generator)[:, None]
        across = 0.5 * normal.square().sum(1, keepdim=True)
        # A sample about the first axis, then reflected so that this axis falls on the mean.
        upright = torch.cat([along - across, (2 * along).sqrt() * normal], 1) / (along + across)
        mirror = F.normalize(torch.eye(1, self.mean.shape[1]).to(self.mean) - self.mean)
        return upright - 2 * (upright * mirror).sum(1, keepdim=True) * mirror

    def log_prob(self, z: Tensor) -> Tensor:
        """log Q(z|x) by surface measure, [B, D] -> [B], nats."""
        return self._log_density((z * self.mean).sum(1))

    def log_prob_table(self, z: Tensor) -> Tensor:
        """log Q(z_i|x_j), [N, D] -> [N, B], nats."""
        return self._log_density(z @ self.mean.T)

    def _log_density(self, cosine: Tensor) -> Tensor:
        b = 0.5 * (self.mean.shape[1] - 1)
        a = b + self.kappa
        log_normaliser = torch.lgamma(a + b) - torch.lgamma(a) - (a + b) * math.log(2) - b * math.log(math.pi)
        return log_normaliser + self.kappa * torch.log1p(cosine.clamp_min(-1 + 1e-6))


def fitting(space: type[Space]) -> list[str]:
    """The choices of posterior=... that live on a space."""
    return [name for name, family in families().items() if space.name in family.spaces]


def with_density(space: type[Space]) -> list[str]:
    """Those of them that have a density."""
    return [name for name in fitting(space) if families()[name].stochastic]


def families() -> dict[str, type[Family]]:
    """The class of each choice of posterior=...."""
    paths = sorted((conf() / "posterior").glob("*.yaml"))
    return {path.stem: pkgutil.resolve_name(OmegaConf.load(path)["_target_"]) for path in paths}
