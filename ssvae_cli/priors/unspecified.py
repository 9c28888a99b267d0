"""No prior: for baselines, whose loss is no ELBO."""

from ssvae_cli.distributed.collectives import all_gather_encoded
from ssvae_cli.distributions.spaces import SPACES, SpaceName
from ssvae_cli.priors.base import Prior


class Unspecified(Prior):
    """P(z, z') is left open: an estimator's loss of the pairs is the objective. space: where z lives."""

    quantity = "baseline"
    no_elbo = no_joint = "without a prior P(z, z') there is no ELBO and no KL"

    def __init__(self, *, space: SpaceName = "euclidean"):
        super().__init__()
        self.space = SPACES[space]

    def elbo(self, estimator, encoded):
        return estimator(*all_gather_encoded(encoded).latents)
