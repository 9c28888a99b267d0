"""Priors P(z, z'): the scientific choice. One family a file; `base` says what a prior must answer."""

from ssvae_cli.priors.base import Encoded, ExplicitPrior, Prior, ScorePrior

__all__ = ["Encoded", "ExplicitPrior", "Prior", "ScorePrior"]
