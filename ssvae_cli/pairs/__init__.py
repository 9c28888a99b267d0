"""Pair generators: how (x, x') is made of a batch, on its device. One a file."""

from ssvae_cli.pairs.base import Pairs

__all__ = ["Pairs"]
