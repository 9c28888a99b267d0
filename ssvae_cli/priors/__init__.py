"""Priors P(z, z'): the scientific choice. One family per file; `base` says what a prior must answer."""

from ssvae_cli.priors.base import Encoded, NoSamples, Prior
from ssvae_cli.priors.categorical import Categorical
from ssvae_cli.priors.conditional import Laplace, Normal, Student
from ssvae_cli.priors.energy import Energy
from ssvae_cli.priors.explicit import ExplicitPrior
from ssvae_cli.priors.gaussian import Gaussian
from ssvae_cli.priors.infonce import InfoNCE
from ssvae_cli.priors.linear_dynamics import LinearDynamics
from ssvae_cli.priors.mi import MI
from ssvae_cli.priors.mixture import Mixture
from ssvae_cli.priors.predictor import Predictor
from ssvae_cli.priors.scored import ScorePrior
from ssvae_cli.priors.sequential import SequentialPrior
from ssvae_cli.priors.shared_latent import SharedLatent
from ssvae_cli.priors.switching_dynamics import SwitchingDynamics
from ssvae_cli.priors.unspecified import Unspecified
from ssvae_cli.priors.unstructured import UnstructuredLaplace, UnstructuredNormal, UnstructuredSphere
from ssvae_cli.priors.vmf import VMF

__all__ = [
    "Categorical", "Encoded", "Energy", "ExplicitPrior", "Gaussian", "InfoNCE", "Laplace",
    "LinearDynamics", "MI", "Mixture", "NoSamples", "Normal", "Predictor", "Prior", "ScorePrior", "SequentialPrior",
    "SharedLatent", "Student", "SwitchingDynamics", "Unspecified", "UnstructuredLaplace", "UnstructuredNormal",
    "UnstructuredSphere", "VMF",
]  # fmt: skip
