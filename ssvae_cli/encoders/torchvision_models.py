"""torchvision's models as backbones: all but the classifier."""

from torch import Tensor, nn
from torchvision import models

from ssvae_cli.datasets.base import Shape, require_images
from ssvae_cli.encoders.base import width_of
from ssvae_cli.encoders.pretrained import Pretrained, load_backbone, read_weights
from ssvae_cli.errors import UserError, allowed, first_line, require
from ssvae_cli.paths import names_file

# Classifiers in the middle of a model, by the beginnings of their weights' names: in training it returns theirs too.
AUXILIARY = {"googlenet": ("aux1.", "aux2."), "inception_v3": ("AuxLogits.",)}


class TorchvisionModel(Pretrained, nn.Module):
    """Any of torchvision's classification models by name. Grey images are repeated to three channels.

    weights: what a new run begins with, by torchvision's name for them, which downloads them, or a file; None: random.
    """

    def __init__(self, *, shape: Shape, name: str, small_stem: bool, weights: str | None = None):
        super().__init__()
        require_images(shape, "encoder=torchvision")
        names = models.list_models(module=models)
        require(name in names, f"name={name} is no model of torchvision; {allowed(name, names)}")
        if weights is not None and not names_file(weights):
            known = [*models.get_model_weights(name).__members__]
            require(
                weights in known, f"weights={weights}: no file, and no weights of {name}; {allowed(weights, known)}"
            )
        self.name, self.weights = name, weights
        # init_weights: as by default, but without a warning that another default will come
        without = {"aux_logits": False, "init_weights": True} if name in AUXILIARY else {}
        self.model = models.get_model(name, weights=None, **without)
        if small_stem:
            is_resnet = isinstance(self.model, models.ResNet)
            require(is_resnet, f"small_stem=true is for ResNets, got {name}; allowed: false")
            self.model.conv1 = nn.Conv2d(3, self.model.conv1.out_channels, 3, 1, 1, bias=False)
            self.model.maxpool = nn.Identity()
        layers = [(name, type(module)) for name, module in self.model.named_modules()]
        kind = nn.Linear if any(issubclass(of, nn.Linear) for _, of in layers) else nn.Conv2d  # as SqueezeNet's
        *_, self.classifier = (name for name, of in layers if issubclass(of, kind))
        self.model.set_submodule(self.classifier, nn.Identity())
        self.out_dim = width_of(self, shape, "name cannot take images of", "try encoder=resnet18")

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, out_dim]."""
        return self.model(x.expand(-1, 3, -1, -1) if x.shape[1] == 1 else x).flatten(1)

    def load_pretrained(self) -> None:
        if self.weights is None:
            return
        asked = f"weights={self.weights}"
        found = read_weights(self.weights) if names_file(self.weights) else self._downloaded(asked)
        found = {key: value for key, value in found.items() if not key.startswith(AUXILIARY.get(self.name, ()))}
        remedy = f"give those of {self.name}, and small_stem=false for torchvision's own"
        load_backbone(self.model, found, asked, self.classifier, remedy)

    def _downloaded(self, asked: str) -> dict[str, Tensor]:
        """torchvision's weights of that name, from its cache or the network."""
        entry = models.get_model_weights(self.name)[self.weights]
        try:
            return entry.get_state_dict(progress=False, check_hash=True)
        except (OSError, RuntimeError) as error:
            reason = first_line(error)
            raise UserError(f"{asked} cannot be downloaded ({reason}); give a file: {entry.url}") from None
