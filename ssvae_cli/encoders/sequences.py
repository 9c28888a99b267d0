"""Encoders of a window of steps: a frame encoder reads each step, a causal network sums them up to the last."""

from collections.abc import Callable

from torch import Tensor, nn
from torch.nn import functional as F

from ssvae_cli.datasets.base import Shape
from ssvae_cli.encoders.base import BACKBONE, Encoder, features_dim
from ssvae_cli.errors import require, require_at_least


class SequenceEncoder(Encoder):
    """An encoder of x, [T, ...]: `frame` reads each step, `backbone` sums them up."""

    def __init__(self, *, shape: Shape, frame: Callable[..., nn.Module], backbone: Callable[..., nn.Module], **common):
        kinds = "encoder=gru and encoder=causal_conv are for sequences, [T, D] or [T, C, H, W]"
        remedy = "pairs=context makes windows of sequences, encoder=mlp takes any shape"
        require(len(shape) in (2, 4), f"{kinds}, and one x is {list(shape)} here; {remedy}")
        network = frame(shape=tuple(shape[1:]))
        BACKBONE.require(network, "frame")
        network.out_dim = features_dim(network, tuple(shape[1:]), "frame")
        super().__init__(shape=shape, backbone=lambda shape: backbone(frame=network), **common)


def by_shape(*, shape: Shape, vectors: Callable[..., nn.Module], images: Callable[..., nn.Module]) -> nn.Module:
    """The encoder of one step: `images` reads frames, [C, H, W], and `vectors` all else."""
    return (images if len(shape) == 3 else vectors)(shape=shape)


class Causal(nn.Module):
    """Steps through a frame encoder, then over_time(h), [B, T, F] -> [B, T, width]; the last step is the output.
    Subclasses give `over_time`, whose output at a step depends on no later step."""

    def __init__(self, *, frame: nn.Module, width: int):
        super().__init__()
        require_at_least(1, width=width)
        self.frame, self.out_dim = frame, width

    def steps(self, x: Tensor) -> Tensor:
        """[B, T, ...] -> [B, T, out_dim]."""
        return self.over_time(self.frame(x.flatten(0, 1)).unflatten(0, x.shape[:2]))

    def forward(self, x: Tensor) -> Tensor:
        """[B, T, ...] -> [B, out_dim]."""
        return self.steps(x)[:, -1]


class GRU(Causal):
    """Gated recurrent units over the steps, as in CPC (van den Oord et al. 2018)."""

    def __init__(self, *, frame: nn.Module, width: int, layers: int):
        super().__init__(frame=frame, width=width)
        require_at_least(1, layers=layers)
        self.gru = nn.GRU(self.frame.out_dim, width, layers, batch_first=True)

    def over_time(self, h: Tensor) -> Tensor:
        return self.gru(h)[0]


class CausalConv(Causal):
    """Causal convolutions over the steps, the dilation doubled from layer to layer (van den Oord et al. 2016).
    After all `layers` a step sees 1 + (kernel - 1)(2^layers - 1) steps."""

    def __init__(self, *, frame: nn.Module, width: int, layers: int, kernel: int):
        super().__init__(frame=frame, width=width)
        require_at_least(1, layers=layers)
        require_at_least(2, kernel=kernel)
        self.enter = nn.Linear(self.frame.out_dim, width)
        self.layers = nn.ModuleList(nn.Conv1d(width, width, kernel, dilation=2**i) for i in range(layers))

    def over_time(self, h: Tensor) -> Tensor:
        h = self.enter(h).mT
        for layer in self.layers:
            back = layer.dilation[0] * (layer.kernel_size[0] - 1)
            h = h + F.relu(layer(F.pad(h, (back, 0))))
        return h.mT
