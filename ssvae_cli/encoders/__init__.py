"""Encoders: a backbone and an optional projector, whose output is the parameters of Q(z|x)."""

from ssvae_cli.encoders.base import Encoder
from ssvae_cli.encoders.convnet import ConvNet
from ssvae_cli.encoders.mlp import MLP
from ssvae_cli.encoders.sequences import SequenceEncoder

__all__ = ["MLP", "ConvNet", "Encoder", "SequenceEncoder"]
