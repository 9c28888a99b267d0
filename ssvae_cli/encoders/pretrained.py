"""Weights that an encoder begins with: from a file, from a library, from another run. A resumed run has its own."""

from abc import ABC, abstractmethod

from safetensors.torch import load_file
from torch import Tensor, nn

from ssvae_cli.errors import UserError, require, setting_of
from ssvae_cli.files import load_tensors, reading
from ssvae_cli.instantiate.build import parameters
from ssvae_cli.paths import existing_file


class Pretrained(ABC):
    """A backbone that may begin with weights from elsewhere: a new run asks for them, and a stored run has its own."""

    @abstractmethod
    def load_pretrained(self) -> None:
        """Take the weights, if the configuration names some. Raises UserError where they cannot be had, or do not
        fit."""


def load_pretrained(objective: nn.Module) -> None:
    """Let every backbone that is Pretrained, of g and of g', take its weights."""
    for name, module in objective.named_modules():
        if isinstance(module, Pretrained):
            with setting_of(f"{name.partition('.')[0]}.backbone", parameters(type(module))):
                module.load_pretrained()


def read_weights(file: str) -> dict[str, Tensor]:
    """The tensors of a file by their names, on the CPU: .safetensors, or a state dict that torch.save wrote, perhaps as
    `state_dict` or `model` of a dict. Loads without running code. Raises UserError for any other file."""
    path = existing_file(file, "weights")
    with reading(path, f"weights={file} holds no weights that load without running code"):
        if path.suffix == ".safetensors":
            return load_file(path)
        found = load_tensors(path)
    for name in ("state_dict", "model"):
        found = found[name] if isinstance(found, dict) and isinstance(found.get(name), dict) else found
    tensors = isinstance(found, dict) and found and all(isinstance(value, Tensor) for value in found.values())
    require(tensors, f"weights={file} holds no tensors by their names")
    return found


def load_fitting(module: nn.Module, weights: dict[str, Tensor], asked: str, remedy: str, name: str = "") -> None:
    """Load all weights of a module. name: what stands before those of a part.

    Raises UserError naming the first that is missing, is too much or has another shape, before any is loaded."""
    own = module.state_dict()
    for key in [*own, *weights]:
        there, here = (list(of[key].shape) if key in of else None for of in (weights, own))
        if there is None:
            raise UserError(f"{asked} has no {name}{key}; {remedy}")
        require(here is not None, f"{asked} has {name}{key}, which the encoder has not; {remedy}")
        require(there == here, f"{asked}: {name}{key} is {there} there and {here} here; {remedy}")
    module.load_state_dict(weights)


def load_backbone(model: nn.Module, weights: dict[str, Tensor], asked: str, classifier: str, remedy: str) -> None:
    """As `load_fitting`, of all but the classifier, by the name of that layer."""
    kept = {key: value for key, value in weights.items() if not key.startswith(f"{classifier}.")}
    load_fitting(model, kept, asked, remedy)
