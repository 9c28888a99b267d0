"""Estimators: how the ELBO under a prior is estimated from a batch. A file holds a family."""

from ssvae_cli.estimators.base import EntropyEstimator, Estimator, ScoreEstimator
from ssvae_cli.estimators.classifier import Classifier, Telescoping
from ssvae_cli.estimators.donsker_varadhan import DV, MINE, SMILE
from ssvae_cli.estimators.entropies import KDE, KNN, Aggregate, LogDet
from ssvae_cli.estimators.infonce import Eq3, InfoNCE, LeaveOneOut, Queue
from ssvae_cli.estimators.nwj import JS, NWJ, TUBA, Interpolated

__all__ = [
    "Aggregate", "Classifier", "DV", "EntropyEstimator", "Eq3", "Estimator", "InfoNCE",
    "Interpolated", "JS", "KDE", "KNN", "LeaveOneOut", "LogDet", "MINE", "NWJ", "Queue", "SMILE",
    "ScoreEstimator", "TUBA", "Telescoping",
]  # fmt: skip
