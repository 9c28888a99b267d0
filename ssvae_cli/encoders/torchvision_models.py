"""torchvision's models as backbones: all but the classifier."""

import torch
from torch import Tensor, nn
from torchvision import models

from ssvae_cli.datasets.base import Shape, require_images
from ssvae_cli.errors import UserError, allowed, require


class TorchvisionModel(nn.Module):
    """Any of torchvision's classification models by name, untrained. Grey images are repeated to three channels."""

    def __init__(self, *, shape: Shape, name: str, small_stem: bool):
        super().__init__()
        require_images(shape, "encoder=torchvision")
        names = models.list_models(module=models)
        require(name in names, f"name={name} is no model of torchvision; {allowed(name, names)}")
        self.model = models.get_model(name, weights=None)
        if small_stem:
            is_resnet = isinstance(self.model, models.ResNet)
            require(is_resnet, f"small_stem=true is for ResNets, got {name}; allowed: false")
            self.model.conv1 = nn.Conv2d(3, self.model.conv1.out_channels, 3, 1, 1, bias=False)
            self.model.maxpool = nn.Identity()
        linear = [name for name, module in self.model.named_modules() if isinstance(module, nn.Linear)]
        self.model.set_submodule(linear[-1], nn.Identity())  # the classifier
        self.out_dim = self._try(shape)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, out_dim]."""
        return self.model(x.expand(-1, 3, -1, -1) if x.shape[1] == 1 else x).flatten(1)

    @torch.no_grad()
    def _try(self, shape: Shape) -> int:
        """The width of the features. A model that cannot take such images fails here and not in the first step."""
        training = self.training
        try:
            width = self.eval()(torch.zeros(2, *shape)).shape[1]
        except (RuntimeError, AssertionError, ValueError) as error:
            size = "x".join(map(str, shape))
            reason = (str(error).splitlines() or ["no reason given"])[0]
            raise UserError(f"name cannot take images of {size} ({reason}); try encoder=resnet18") from None
        self.train(training)
        return width
