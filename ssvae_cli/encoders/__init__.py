"""Encoders: a backbone, an optional projector, and a posterior Q(z|x)."""

from ssvae_cli.encoders.base import Encoder

__all__ = ["Encoder"]
