"""Data sets: three fixed splits, one data set a file; `io` reads rows from files."""

from ssvae_cli.datasets.base import Data, Factor, Split

__all__ = ["Data", "Factor", "Split"]
