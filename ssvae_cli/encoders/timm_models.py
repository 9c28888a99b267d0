"""timm's models as backbones: all but the classifier."""

from typing import Any

from torch import Tensor, nn

from ssvae_cli.datasets.base import Shape, require_images
from ssvae_cli.encoders.base import width_of
from ssvae_cli.encoders.pretrained import Pretrained, load_backbone, read_weights
from ssvae_cli.errors import UserError, did_you_mean, first_line, require, require_extra
from ssvae_cli.paths import names_file


class TimmModel(Pretrained, nn.Module):
    """Any of timm's models by name; its first layer takes the channels of the images.

    weights: what a new run begins with, `default` for timm's own of that name, which are downloaded, or a file; None:
    random. options: further arguments of timm.create_model, such as img_size of a transformer.
    """

    def __init__(self, *, shape: Shape, name: str, weights: str | None = None, options: dict[str, Any] | None = None):
        super().__init__()
        require_extra("timm", "encoder=timm", "timm")
        import timm

        require_images(shape, "encoder=timm")
        known = timm.list_models()
        require(
            timm.is_model(name), f"name={name} is no model of timm{did_you_mean(name, known)}; see timm.list_models()"
        )
        valid = weights is None or weights == "default" or names_file(weights)
        require(valid, f"weights={weights}: no such file; allowed: null, default, a file")
        self.name, self.weights, self.channels = name, weights, shape[0]
        self.options = {"in_chans": shape[0], "num_classes": 0, **(options or {})}
        try:
            self.model = timm.create_model(name, pretrained=False, **self.options)
        except (TypeError, ValueError, RuntimeError, AssertionError) as error:
            raise UserError(f"options={options}: {name} refuses them ({first_line(error)})") from None
        self.out_dim = width_of(self, shape, "name cannot take images of", "try options={img_size: ...}")

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, out_dim]."""
        return self.model(x).flatten(1)

    def load_pretrained(self) -> None:
        if self.weights is None:
            return
        import timm

        asked = f"weights={self.weights}"
        if names_file(self.weights):
            classifier = timm.models.get_pretrained_cfg_value(self.name, "classifier") or "head"
            found = read_weights(self.weights)
            return load_backbone(self.model, found, asked, classifier, f"give those of {self.name}")
        try:
            whole = timm.create_model(self.name, pretrained=True, **self.options)
        except Exception as error:  # of timm, of its hub, of the network
            reason = first_line(error)
            raise UserError(f"{asked} cannot be downloaded ({reason}); give a file of timm's weights") from None
        self.model.load_state_dict(whole.state_dict())
