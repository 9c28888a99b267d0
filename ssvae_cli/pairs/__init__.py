"""Pair generators: (x, x') from a batch, on its device. One per file."""

from ssvae_cli.pairs.base import Pairs

__all__ = ["Pairs"]
