"""Laws P(z, z') of known latents, each under the name of the prior of the same law."""

from ssvae_cli.datasets.laws.base import Drawn, Law

__all__ = ["Drawn", "Law"]
