"""ssvae: self-supervised variational autoencoders, where the prior P(z, z') is a free choice."""

__version__ = "0.1.0"
