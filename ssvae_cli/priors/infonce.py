"""The InfoNCE prior: P(z, z') = Q(z) Q(z') f(z, z') / Z(z), under which the ELBO is the InfoNCE objective."""

import torch

from ssvae_cli.priors.scored import ScorePrior, draw_distinct


class InfoNCE(ScorePrior):
    """P(z, z') = Q(z) Q(z') f(z, z') / Z(z), Z(z) = E_Q(z') f(z, z') (Eqs. 28-30).
    The ELBO is E log f - E_z log E_z' f, the limit of InfoNCE with infinitely many negatives (Eq. 30). f is the model:
    it defines the prior and is kept after training."""

    quantity = "infonce"

    def samplers(self, latents):
        """Anchors from Q; partners from the other side of Q, resampled with probability proportional to f."""
        z, z_prime = latents

        def partners(candidates, table):
            below = table.softmax(1).cumsum(1)
            drawn = torch.rand(len(table), 1, device=table.device, dtype=table.dtype) * below[:, -1:]
            return candidates[torch.searchsorted(below, drawn).squeeze(1).clamp_max(len(candidates) - 1)]

        def forward(like):
            anchors, candidates = draw_distinct(z, len(like)), draw_distinct(z_prime)
            return torch.cat([anchors, partners(candidates, self.critic(anchors, candidates))], 1)

        def backward(like):
            anchors, candidates = draw_distinct(z_prime, len(like)), draw_distinct(z)
            return torch.cat([partners(candidates, self.critic(candidates, anchors).T), anchors], 1)

        return self._directed(lambda: forward, lambda: backward)
