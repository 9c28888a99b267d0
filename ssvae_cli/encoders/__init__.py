"""Encoders: a backbone, an optional projector, and a posterior Q(z|x)."""

from ssvae_cli.encoders.base import Encoder
from ssvae_cli.encoders.convnet import ConvNet
from ssvae_cli.encoders.mlp import MLP
from ssvae_cli.encoders.posteriors import Deterministic, Gaussian, PowerSpherical
from ssvae_cli.encoders.sequences import SequenceEncoder

__all__ = ["MLP", "ConvNet", "Deterministic", "Encoder", "Gaussian", "PowerSpherical", "SequenceEncoder"]
