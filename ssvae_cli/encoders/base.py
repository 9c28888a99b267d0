"""The encoder: a backbone, an optional projector, and a posterior Q(z|x)."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from ssvae_cli.datasets.base import Shape
from ssvae_cli.device import dtype_name
from ssvae_cli.distributions.posterior import Posterior
from ssvae_cli.distributions.spaces import SPACES, Space
from ssvae_cli.encoders.microbatch import in_microbatches
from ssvae_cli.encoders.posteriors import Deterministic, Family, fitting
from ssvae_cli.errors import UserError, first_line, require, require_at_least
from ssvae_cli.instantiate.build import Contract
from ssvae_cli.instantiate.read_only import versions
from ssvae_cli.instantiate.types import choice_of
from ssvae_cli.layers import batch_normed, require_widths

CONTRACT = Contract(
    ("features", "stochastic", "forward"),
    "an encoder derives from Encoder of ssvae_cli.encoders, or has features(x) and `stochastic`, whether Q(z|x) has a "
    "density; called with x it returns a posterior, as those of ssvae_cli.encoders.posteriors",
)
BACKBONE = Contract(("forward",), "a backbone is an nn.Module, which maps x, [B, ...], to features, [B, F]")


class Encoder(nn.Module):
    """x -> features h, which probes read -> the parameters of Q(z|x).
    shape: of one x, (C, H, W), (D,) or (T, ...). backbone: any module, or a class that is called with that shape; the
    width of its features is its `out_dim`, or is measured.
    projector: hidden widths between h and z; an empty list is a linear map. posterior: what its output stands for.
    space: the prior's, where z lives."""

    def __init__(
        self,
        *,
        shape: Shape,
        backbone: Callable[..., nn.Module] | nn.Module,
        latent_dim: int,
        projector: list[int],
        posterior: Family | None = None,
        space: type[Space] = SPACES["euclidean"],
    ):
        super().__init__()
        require_at_least(1, latent_dim=latent_dim)
        require_widths("projector", projector, at_least=0)
        self.backbone = backbone if isinstance(backbone, nn.Module) else backbone(shape=shape)
        BACKBONE.require(self.backbone, "backbone")
        features = features_dim(self.backbone, tuple(shape), "backbone")
        self.posterior, self.space, self.shape = (posterior or Deterministic()).on(space), space, tuple(shape)
        fault = f"posterior={choice_of(type(self.posterior))} has no density on the prior's space ({space.name})"
        require(space.name in self.posterior.spaces, f"{fault}; allowed: {', '.join(fitting(space))}")
        self.microbatch: int | None = None  # rows at a time, set by the objective
        self.stochastic, self.latent_dim = self.posterior.stochastic, latent_dim
        widths = [features, *projector]
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

    def of_features(self, features: Tensor) -> Posterior:
        """[B, F] -> Q(z|x) of the x that have these features."""
        return self.posterior(self.projector(features), self.space)

    def _parameters_of(self, x: Tensor) -> Tensor:
        """[B, *shape] -> the parameters of Q(z|x), [B, width]."""
        return self.projector(self.features(x))


def features_dim(backbone: nn.Module, shape: Shape, setting: str) -> int:
    """The width of the features: its `out_dim`, of a user's own as a try confirms it, or as a try shows it.
    setting: what named the module."""
    stated = getattr(backbone, "out_dim", None)
    if stated is not None and type(backbone).__module__.startswith("ssvae_cli."):
        return stated
    width = width_of(backbone, shape, f"{setting} cannot take x of")
    require(stated in (None, width), f"{setting}: out_dim is {stated!r}, and the features have {width} columns")
    return width


@torch.no_grad()
def width_of(backbone: nn.Module, shape: Shape, fault: str, remedy: str | None = None) -> int:
    """The width of the features of x of that shape. Raises UserError, by `fault` and the shape, for a module that
    cannot take such x, which otherwise would fail in the first step."""
    size, training = "x".join(map(str, shape)), backbone.training
    end = f"; {remedy}" if remedy else ""
    try:
        features = backbone.eval()(x := torch.zeros(2, *shape))
    except (RuntimeError, AssertionError, ValueError, TypeError, IndexError) as error:
        reason = first_line(error)
        raise UserError(f"{fault} {size} ({reason}){end}") from None
    backbone.train(training)
    unchanged = versions(x) == versions(torch.zeros(1))
    require(unchanged, f"{fault} {size}: it writes into x, which others read after it; compute on x.clone(){end}")
    valid = isinstance(features, Tensor) and features.ndim == 2 and len(features) == 2 and features.numel() > 0
    found = f"[{', '.join(map(str, features.shape))}]" if isinstance(features, Tensor) else type(features).__name__
    require(valid, f"{fault} {size}: it must return features [B, F], and returns {found} for B = 2{end}")
    kinds = [dtype_name(kind) for kind in (torch.get_default_dtype(), features)]
    require(kinds[0] == kinds[1], f"{fault} {size}: its features must be {kinds[0]}, and are {kinds[1]}{end}")
    return features.shape[1]
