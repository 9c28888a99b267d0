"""The MI prior: P(z, z') = Q(z, z'), under which the ELBO is the mutual information."""

from ssvae_cli.priors.base import ScorePrior


class MI(ScorePrior):
    """P(z, z') = Q(z, z'): the KL term is zero and the ELBO is I(z; z'), whatever the encoder (Eq. 25).

    I is not computable, so a critic T = log f bounds it from below. The critic is a variational device:
    it is discarded after training and belongs to no model.
    """

    served_by = ("infonce", "eq3", "queue", "nwj", "tuba", "interpolated", "dv", "mine", "js", "smile")

    def samplers(self, latents):
        """None: P is Q."""
        return []
