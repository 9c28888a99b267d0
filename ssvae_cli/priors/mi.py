"""The MI prior: P(z, z') = Q(z, z'), under which the ELBO is the mutual information."""

from ssvae_cli.priors.scored import ScorePrior


class MI(ScorePrior):
    """P(z, z') = Q(z, z'): the KL term is zero and the ELBO is I(z; z') for any encoder (Eq. 25).
    I cannot be computed, so a critic T = log f bounds it from below. The critic is a variational device: it is
    discarded after training and belongs to no model."""

    quantity = "mi"

    def samplers(self, latents):
        return []  # P is Q
