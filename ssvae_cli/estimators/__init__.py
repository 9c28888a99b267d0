"""Estimators: how the ELBO under a prior is estimated from a batch. One class a file."""

from ssvae_cli.estimators.base import EntropyEstimator, Estimator, ScoreEstimator

__all__ = ["EntropyEstimator", "Estimator", "ScoreEstimator"]
