"""Data sets: three fixed splits, one data set a file; `io` reads rows from files."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ssvae_cli.datasets.base import Data, Factor, Split

__all__ = ["Data", "Factor", "Split"]


def __getattr__(name: str) -> Any:
    """Imported at the first use: what files ask for, in `suits`, is read without torch."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module("ssvae_cli.datasets.base"), name)
