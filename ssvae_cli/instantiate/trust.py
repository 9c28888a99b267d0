"""What a stored configuration may build: it is data, and someone may have edited it."""

import pkgutil
import re
from collections.abc import Iterator
from inspect import isclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from ssvae_cli.errors import UserError, require
from ssvae_cli.instantiate.groups import conf

LAYERS = ("torch.nn.", "torch.optim.", "torchvision.models.", "torchvision.ops.")


def refuse_untrusted(config: DictConfig, run: Path, *, trust: bool) -> None:
    """Raise UserError where the stored configuration of `run` names anything but ssvae's own parts and torch's layers.

    Own parts are what the package's YAML files name; layers are classes of torch and torchvision that compute. A name
    is judged before it is imported, and what it leads to afterwards.
    """
    if trust:
        return
    own = shipped()
    for key, target in targets(OmegaConf.to_container(config, resolve=True)):
        require(
            target in own or is_layer(target),
            f"{key} = {target} in the stored configuration of {run} is no part of ssvae or torch, and building it may "
            "run anybody's code; if you trust this run, add trust=true",
        )


def refuse_smuggled(overrides: list, run: Path) -> None:
    """Raise UserError where a run's stored overrides hold what no run stores: options, or settings of Hydra itself."""
    for line in overrides:
        sound = isinstance(line, str) and re.match(r"(\+\+?|~)?(?!hydra\b)[A-Za-z_]", line)
        if not sound:
            raise UserError(f"the stored overrides of {run} hold {line!r}, which no run stores; the folder was edited")


def targets(node: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """Every `_target_` at any depth of a plain configuration: (its dotted key, what it names)."""
    pairs = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for name, value in pairs:
        here = f"{key}.{name}".lstrip(".")
        if name == "_target_":
            yield here, str(value)
        else:
            yield from targets(value, here)


def shipped() -> set[str]:
    """The targets that the package's own configuration names."""
    return {name for p in conf().rglob("*.yaml") for name in re.findall(r"_target_:\s*(\S+)", p.read_text("utf-8"))}


def is_layer(target: str) -> bool:
    """Whether the name belongs to a torch.nn.Module or an optimizer that is defined where LAYERS says."""
    if not target.startswith(LAYERS):
        return False
    from torch.nn import Module
    from torch.optim import Optimizer

    try:
        layer = pkgutil.resolve_name(target)
    except (ImportError, AttributeError, ValueError):
        return False
    return isclass(layer) and issubclass(layer, (Module, Optimizer)) and layer.__module__.startswith(LAYERS)
