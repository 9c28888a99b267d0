"""The encoder: a backbone, an optional projector, and a posterior Q(z|x)."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from ssvae_cli.datasets.base import Shape
from ssvae_cli.distributions.posterior import Posterior
from ssvae_cli.distributions.spaces import SPACES, Space
from ssvae_cli.encoders.microbatch import in_microbatches
from ssvae_cli.encoders.posteriors import Deterministic, Family, fitting
from ssvae_cli.errors import require, require_at_least
from ssvae_cli.instantiate.build import Contract
from ssvae_cli.instantiate.types import choice_of
from ssvae_cli.layers import batch_normed, require_widths

CONTRACT = Contract(
    ("features", "stochastic", "forward"),
    "an encoder derives from Encoder of ssvae_cli.encoders, or has features(x) and `stochastic`, whether Q(z|x) has a "
    "density; called with x it returns a posterior, as those of ssvae_cli.encoders.posteriors",
)
BACKBONE = Contract(("out_dim", "forward"), "a backbone has `out_dim`, the width of the features that it returns")


class Encoder(nn.Module):
    """x -> features h, which probes read -> the parameters of Q(z|x).
    shape: of one x, (C, H, W), (D,) or (T, ...). backbone: called with that shape, returns a module with `out_dim`.
    projector: hidden widths between h and z; an empty list is a linear map. posterior: what its output stands for.
    space: the prior's, where z lives."""

    def __init__(
        self,
        *,
        shape: Shape,
        backbone: Callable[..., nn.Module],
        latent_dim: int,
        projector: list[int],
        posterior: Family | None = None,
        space: type[Space] = SPACES["euclidean"],
    ):
        super().__init__()
        require_at_least(1, latent_dim=latent_dim)
        require_widths("projector", projector, at_least=0)
        self.backbone = backbone(shape=shape)
        BACKBONE.require(self.backbone, "backbone")
        self.posterior, self.space, self.shape = (posterior or Deterministic()).on(space), space, tuple(shape)
        fault = f"posterior={choice_of(type(self.posterior))} has no density on the prior's space ({space.name})"
        require(space.name in self.posterior.spaces, f"{fault}; allowed: {', '.join(fitting(space))}")
        self.microbatch: int | None = None  # rows at a time, set by the objective
        self.stochastic, self.latent_dim = self.posterior.stochastic, latent_dim
        widths = [self.backbone.out_dim, *projector]
        self.projector = nn.Sequential(*batch_normed(widths), nn.Linear(widths[-1], self.posterior.width(latent_dim)))
        self.to(memory_format=torch.channels_last)  # the layout in which convolutions are fast

    def features(self, x: Tensor) -> Tensor:
        """[B, *shape] -> h, [B, F]; for samples of several parts, [B, parts, *shape], the mean over the parts."""
        if x.ndim == len(self.shape) + 2:
            return torch.stack([self.features(part) for part in x.unbind(1)]).mean(0)
        return self.backbone(x.contiguous(memory_format=torch.channels_last) if x.ndim == 4 else x)

    def forward(self, x: Tensor) -> Posterior:
        """[B, *shape] -> Q(z|x)."""
        whole = self.microbatch is None or not torch.is_grad_enabled()
        parameters = self._parameters_of(x) if whole else in_microbatches(self, self._parameters_of, x, self.microbatch)
        return self.posterior(parameters, self.space)

    def _parameters_of(self, x: Tensor) -> Tensor:
        """[B, *shape] -> the parameters of Q(z|x), [B, width]."""
        return self.projector(self.features(x))
