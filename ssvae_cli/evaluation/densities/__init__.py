"""Normalised densities of latents, fitted on train, weighted on validation and read on test."""

from ssvae_cli.evaluation.densities.choice import DensityFit
from ssvae_cli.evaluation.densities.held_out import LEAST, Densities, Latents

__all__ = ["LEAST", "Densities", "DensityFit", "Latents"]
