"""A classifier: the features of a trained encoder, and a linear head."""

import torch
from torch import Tensor, nn

from ssvae_cli.datasets.base import Split
from ssvae_cli.load_run import Loaded

CHUNK = 512


class Classifier(nn.Module):
    """x as the encoder gets it -> features -> logits of the classes."""

    def __init__(self, loaded: Loaded, features: int, classes: int):
        super().__init__()
        self.objective, self.head = loaded.objective, nn.Linear(features, classes)

    @property
    def backbone(self) -> nn.Module:
        """What lies before the features; the projector takes no part."""
        return self.objective.encoder.backbone

    def parts(self) -> dict[str, nn.Module]:
        """What is trained, by the name that it has in files and settings."""
        return {"backbone": self.backbone, "head": self.head}

    def forward(self, x: Tensor) -> Tensor:
        """[B, ...] -> [B, classes]."""
        return self.head(self.objective.features(x))

    def weights(self) -> dict[str, Tensor]:
        """backbone.* and head.*, copied."""
        stored = {name: part.state_dict() for name, part in self.parts().items()}
        return {f"{name}.{k}": v.detach().clone() for name, part in stored.items() for k, v in part.items()}

    def restore(self, weights: dict[str, Tensor]) -> None:
        """Take `weights` back."""
        for name, part in self.parts().items():
            start = f"{name}."
            part.load_state_dict({k.removeprefix(start): v for k, v in weights.items() if k.startswith(start)})


@torch.no_grad()
def accuracy(model: Classifier, loaded: Loaded, split: Split) -> float:
    """The share of the labelled samples of a split that are classified correctly."""
    was_training = model.training
    model.eval()
    correct = count = 0
    for batch in split.batches(CHUNK):
        y = batch.y.to(next(model.parameters()).device)
        named = model(loaded.pairs.clean(batch)).argmax(1)
        correct, count = correct + (named == y)[y >= 0].sum().item(), count + (y >= 0).sum().item()
    model.train(was_training)
    return correct / count
