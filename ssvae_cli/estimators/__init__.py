"""Estimators: how the ELBO under a prior is estimated from a batch. A file holds a family."""

from ssvae_cli.estimators.base import EntropyEstimator, Estimator, PairEstimator, ScoreEstimator
from ssvae_cli.estimators.baselines import HSIC, CrossCorrelation, Whitening
from ssvae_cli.estimators.classifier import Classifier, Telescoping
from ssvae_cli.estimators.donsker_varadhan import DV, MINE, SMILE
from ssvae_cli.estimators.entropies import KNN, Aggregate, Conditionals, Frequencies, LogDet
from ssvae_cli.estimators.infonce import Eq3, InfoNCE, LeaveOneOut, Queue
from ssvae_cli.estimators.kernel_density import KDE
from ssvae_cli.estimators.nwj import JS, NWJ, TUBA, Interpolated
from ssvae_cli.estimators.regularisers import Hinges, Sliced, StopGrad

__all__ = [
    "Aggregate", "Classifier", "Conditionals", "CrossCorrelation", "DV", "EntropyEstimator", "Eq3",
    "Estimator", "Frequencies", "HSIC", "Hinges", "InfoNCE", "Interpolated", "JS", "KDE", "KNN",
    "LeaveOneOut", "LogDet", "MINE", "NWJ", "PairEstimator", "Queue", "SMILE", "ScoreEstimator",
    "Sliced", "StopGrad", "TUBA", "Telescoping", "Whitening",
]  # fmt: skip
