"""A small convolutional network for small images."""

from torch import Tensor, nn

from ssvae_cli.datasets.base import Shape, require_images
from ssvae_cli.errors import require, require_at_least


class ConvNet(nn.Module):
    """Stages of two 3x3 convolutions, each half the size and twice the width of the last, averaged to pool x pool.
    stride: of the first convolution; 2 halves the size at the start. pool: at most the size of the last stage."""

    def __init__(self, *, shape: Shape, width: int, stages: int, stride: int, pool: int):
        super().__init__()
        require_at_least(1, width=width, stages=stages, pool=pool)
        require(stride in (1, 2), f"stride must be 1 or 2, got {stride}")
        require_images(shape, "encoder=convnet")
        channels, height, side = shape
        layers: list[nn.Module] = []
        for stage in range(stages):
            out = width * 2**stage
            for step in (2 if stage else stride, 1):
                layers += [nn.Conv2d(channels, out, 3, step, 1, bias=False), nn.BatchNorm2d(out), nn.ReLU()]
                channels, height, side = out, -(-height // step), -(-side // step)
        self.layers = nn.Sequential(*layers)
        pooled = min(height, pool), min(side, pool)
        self.pool = nn.Identity() if pooled == (height, side) else nn.AdaptiveAvgPool2d(pooled)
        self.out_dim = channels * pooled[0] * pooled[1]

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, out_dim]."""
        return self.pool(self.layers(x)).flatten(1)
