"""The InfoNCE prior: P(z, z') = Q(z) Q(z') f(z, z') / Z(z), under which the ELBO is the InfoNCE objective."""

from ssvae_cli.priors.base import ScorePrior


class InfoNCE(ScorePrior):
    """P(z, z') = Q(z) Q(z') f(z, z') / Z(z), Z(z) = E_Q(z') f(z, z') (Eqs. 28-30).

    The ELBO is E log f - E_z log E_z' f, the limit of InfoNCE with infinitely many negatives (Eq. 30),
    and f is the model: it is the prior, and stays part of it after training.
    """

    served_by = ("infonce", "limit", "eq3", "queue")
