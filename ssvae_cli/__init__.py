"""ssvae: self-supervised variational autoencoders, where the prior P(z, z') is a free choice.

    import ssvae_cli as ssvae

Importing it costs nothing: each name is imported when it is first used, and torch with it."""

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from ssvae_cli import critics, encoders, estimators, priors, scores
    from ssvae_cli.api.encoder import TrainedEncoder, load
    from ssvae_cli.api.model import SSVAE
    from ssvae_cli.errors import UserError
    from ssvae_cli.estimators import InfoNCE
    from ssvae_cli.scores import DenseScores

__all__ = ["SSVAE", "DenseScores", "InfoNCE", "TrainedEncoder", "UserError", "__version__", "critics", "encoders",
           "estimators", "load", "priors", "scores"]  # fmt: skip

_MODULES = {
    "DenseScores": "scores",
    "InfoNCE": "estimators",
    "SSVAE": "api.model",
    "TrainedEncoder": "api.encoder",
    "UserError": "errors",
    "load": "api.encoder",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = importlib.import_module(f"{__name__}.{_MODULES.get(name, name)}")
    return getattr(module, name) if name in _MODULES else module


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
