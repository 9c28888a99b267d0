"""The InfoNCE prior: P(z, z') = Q(z) Q(z') f(z, z') / Z(z), under which the ELBO is the InfoNCE objective."""

import torch

from ssvae_cli.priors.base import ScorePrior, draw_distinct


class InfoNCE(ScorePrior):
    """P(z, z') = Q(z) Q(z') f(z, z') / Z(z), Z(z) = E_Q(z') f(z, z') (Eqs. 28-30).

    The ELBO is E log f - E_z log E_z' f, the limit of InfoNCE with infinitely many negatives (Eq. 30),
    and f is the model: it is the prior, and stays part of it after training.
    """

    quantity = "infonce"

    def samplers(self, latents):
        """The anchor from Q, its partner among Q's with a probability as f: resampling."""
        z, z_prime = latents

        def resample(anchors, candidates, table):
            picked = table.softmax(1).multinomial(1).squeeze(1)
            return anchors, candidates[picked]

        def forward(like):
            anchors, candidates = draw_distinct(z, len(like)), draw_distinct(z_prime)
            return torch.cat(resample(anchors, candidates, self.critic(anchors, candidates)), 1)

        def backward(like):
            anchors, candidates = draw_distinct(z_prime, len(like)), draw_distinct(z)
            return torch.cat(resample(anchors, candidates, self.critic(candidates, anchors).T)[::-1], 1)

        return self._directed(lambda: forward, lambda: backward)
