"""The MI prior: P(z, z') = Q(z, z'), under which the ELBO is the mutual information."""

from ssvae_cli.priors.scored import ScorePrior


class MI(ScorePrior):
    """P(z, z') = Q(z, z'): the KL term is zero and the ELBO is I(z; z') for any encoder (Eq. 25).
    I cannot be computed, so a critic T = log f bounds it from below. The critic is a variational device: it is
    discarded after training and belongs to no model."""

    quantity = "mi"
    no_joint = "P is Q, so its ELBO would be -KL(Q || Q) = 0 whatever the encoder"

    def samplers(self, latents):
        return []  # P is Q
