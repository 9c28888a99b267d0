"""The energy prior: P(z, z') = Q(z) Q(z') f(z, z') / Z, with one normaliser for all pairs."""

import math

import torch
from torch import Tensor

from ssvae_cli.critics import Critic
from ssvae_cli.distributions.spaces import SpaceName
from ssvae_cli.priors.scored import ScorePrior, draw_distinct
from ssvae_cli.scores.in_batch import Direction


class Energy(ScorePrior):
    """P(z, z') = Q(z) Q(z') f(z, z') / Z, Z = E_Q(z) Q(z') f(z, z').
    The ELBO is E log f - log E_zz' f, the Donsker-Varadhan form (the paper's Sec. 3 with a normaliser that depends on
    no latent); f is the model. Symmetric in z and z', so `direction` changes nothing but the candidates."""

    quantity = "energy"

    def __init__(self, *, critic: Critic, direction: Direction, space: SpaceName = "euclidean"):
        super().__init__(critic=critic, direction=direction, space=space)  # one Z for all pairs: of two views

    def log_ratio(self, scores):
        """log f - log Z of each pair, [B]."""
        return scores.positives - scores.log_partition_all()

    def pair_scores(self, latents, sources):
        """log f - log Z of each pair, [B], the one Z over all combinations of the sources."""
        return self.critic.paired(*latents) - self._log_z(sources)

    def pair_table(self, latents, sources):
        return self.critic(*latents) - self._log_z(sources)

    def _log_z(self, sources: tuple[Tensor, ...]) -> Tensor:
        """log of the mean of f over all combinations of the sources, []."""
        table = self.critic(*sources)
        return table.flatten().logsumexp(0) - math.log(table.numel())

    def samplers(self, latents):
        """Pairs of Q(z) Q(z'), resampled with probability proportional to f."""

        def sample(like):
            z, z_prime = (draw_distinct(side) for side in latents)
            picked = self.critic(z, z_prime).flatten().softmax(0).multinomial(len(like), replacement=True)
            return torch.cat([z[picked // len(z_prime)], z_prime[picked % len(z_prime)]], 1)

        return [sample]
