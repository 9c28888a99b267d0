"""A small convolutional network for small images."""

from torch import Tensor, nn

from ssvae_cli.datasets.base import Shape, require_images
from ssvae_cli.errors import require


class ConvNet(nn.Module):
    """Stages of two 3x3 convolutions, halved in size and doubled in width between, then flattened if tiny."""

    def __init__(self, *, shape: Shape, width: int, stages: int):
        super().__init__()
        require(width >= 1, f"encoder.backbone.width must be at least 1, got {width}")
        require(stages >= 1, f"encoder.backbone.stages must be at least 1, got {stages}")
        require_images(shape, "encoder=convnet")
        channels, height, side = shape
        layers: list[nn.Module] = []
        for stage in range(stages):
            out = width * 2**stage
            for stride in (2 if stage else 1, 1):
                layers += [nn.Conv2d(channels, out, 3, stride, 1, bias=False), nn.BatchNorm2d(out), nn.ReLU()]
                channels = out
            if stage:
                height, side = (height + 1) // 2, (side + 1) // 2
        self.layers = nn.Sequential(*layers)
        self.pool = nn.AdaptiveAvgPool2d((min(height, 2), min(side, 2)))
        self.out_dim = channels * min(height, 2) * min(side, 2)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, out_dim]."""
        return self.pool(self.layers(x)).flatten(1)
