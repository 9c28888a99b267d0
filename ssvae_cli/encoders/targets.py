"""Encoders g' without a gradient: g itself, or an average of its past weights."""

import copy
import math

import torch
from torch import Tensor, nn

from ssvae_cli.datasets.base import Shape
from ssvae_cli.distributions.posterior import Posterior
from ssvae_cli.encoders.averaging import move_towards
from ssvae_cli.errors import require, require_within


class Target(nn.Module):
    """g' through which no gradient flows; subclasses name its network. shape: of one x', which g takes too."""

    is_target = True

    def __init__(self, *, online: nn.Module, shape: Shape):
        super().__init__()
        fits = tuple(online.shape) == tuple(shape)
        window, *step = online.shape
        of_steps = f"; pairs.future={window} makes x' a window as x is, and pairs=window makes both a step"
        remedy = of_steps if step and tuple(step) == tuple(shape) else ""
        require(fits, f"encoder_prime=ema and detached have g's network, and one x' is {list(shape)}, not as x{remedy}")
        self.stochastic, self.latent_dim = online.stochastic, online.latent_dim
        self._online = [online]  # in a list, so that its parameters are not among this module's

    @property
    def network(self) -> nn.Module:
        """What computes z'."""
        return self._online[0]

    @torch.no_grad()
    def features(self, x: Tensor) -> Tensor:
        """[B, *shape] -> h, [B, F]."""
        return self.network.features(x)

    @torch.no_grad()
    def forward(self, x: Tensor) -> Posterior:
        """[B, *shape] -> Q(z'|x')."""
        return self.network(x)


class Detached(Target):
    """g itself (Chen & He 2021, SimSiam)."""


class EMA(Target):
    """An average of g's past weights: a <- decay a + (1 - decay) g after each step (He et al. 2020; Grill et al. 2020).

    It starts as g; its batch norms have their own statistics. last_decay: at the last step, reached from `decay` by
    half a cosine; None: `decay` throughout. Both in [0, 1]."""

    def __init__(self, *, online: nn.Module, shape: Shape, decay: float, last_decay: float | None):
        super().__init__(online=online, shape=shape)
        self.decay, self.last_decay = decay, decay if last_decay is None else last_decay
        require_within(0, 1, decay=decay, last_decay=self.last_decay)
        self.average = copy.deepcopy(online).requires_grad_(False)

    @property
    def network(self) -> nn.Module:
        return self.average

    def follow(self, done: float) -> None:
        """Move towards g. done: the share of all steps that are done, in [0, 1]."""
        decay = self.last_decay + (self.decay - self.last_decay) * 0.5 * (1 + math.cos(math.pi * done))
        move_towards(self.average, self._online[0], 1 - decay)
