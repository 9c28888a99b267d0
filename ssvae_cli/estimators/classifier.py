"""The classifier of Sec. 3.1: a network tells samples of P from samples of Q, and its logit is log P / Q."""

from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

from ssvae_cli.couplings import mlp
from ssvae_cli.errors import require
from ssvae_cli.estimators.entropy import EntropyEstimator, logdet_bias, whiten


class Classifier(EntropyEstimator):
    """H(z) = E_Q [log R(z) / Q(z)] - E_Q log R(z), the ratio being a classifier's logit (Sugiyama et al. 2012).

    R is uniform on the sphere and the box, and in Euclidean space normal with the batch's own mean and covariance, so
    that an encoder cannot run away from R faster than the classifier follows: the logdet entropy less what the
    classifier finds missing. Where R is P(z) this is Sec. 3.1 of the paper as printed.
    Gradient: the encoder sees the value with the classifier frozen, the classifier its own cross-entropy with the
    encoder frozen; both come from one backward pass. Relation to I: none. Relation to the ELBO: its estimate, biased
    up where the classifier is too weak or too far behind to see a difference between R and Q. For reported numbers
    a fresh classifier is fitted and read on held-out samples.
    """

    name = "classifier"

    def __init__(self, *, latent_dim: int, hidden: list[int]):
        super().__init__()
        require(len(hidden) > 0 and min(hidden) > 0, f"estimator.hidden widths must be at least 1, got {list(hidden)}")
        self.networks = nn.ModuleList(mlp([latent_dim, *hidden, 1]) for _ in range(2))

    def entropy(self, z, posterior, space, side):
        network, volume = self.networks[side], 0.0
        if space.name == "euclidean":
            z, volume = whiten(z)
            volume = volume - logdet_bias(*z.shape)
        frozen = {name: p.detach() for name, p in network.named_parameters()}
        value = (functional_call(network, frozen, (z,)).squeeze(1) - space.log_prob(z)).mean() + volume
        own = cross_entropy(network, space.sample(z.detach()), z.detach())
        return value + own.detach() - own  # the value alone; its gradient trains both sides


def cross_entropy(network: nn.Module, positive: Tensor, negative: Tensor) -> Tensor:
    """Twice the mean loss, [], of telling `positive` samples, [B, D], from `negative` ones; at the optimum the
    network is log of their densities' ratio."""
    return (F.softplus(-network(positive)) + F.softplus(network(negative))).mean()
