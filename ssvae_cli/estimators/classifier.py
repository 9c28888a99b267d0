"""Entropies by a classifier (Sec. 3.1): its logit between samples of P and of Q is log P / Q."""

from collections.abc import Callable

from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

from ssvae_cli.errors import require_at_least
from ssvae_cli.estimators.base import EntropyEstimator
from ssvae_cli.estimators.entropies import logdet_bias
from ssvae_cli.layers import mlp, require_widths


class Classifier(EntropyEstimator):
    """H(z) = E_Q [log R(z) / Q(z)] - E_Q log R(z), the ratio being a classifier's logit (Sugiyama et al. 2012).

    R has the batch's own moments (normal; angular central Gaussian on the sphere), so that an encoder cannot run away
    from R faster than the classifier follows: the logdet entropy less what the classifier finds missing. On the box it
    is uniform. Where R is P(z) this is Sec. 3.1 of the paper as printed.
    Gradient: the encoder sees the value with the classifier frozen, the classifier its own cross-entropy with the
    encoder frozen; both come from one backward pass. Relation to I: none. Relation to the ELBO: its estimate, biased
    up where the classifier is too weak or too far behind to see a difference between R and Q. No ceiling; low variance.
    For reported numbers a fresh classifier is fitted and read on held-out samples.
    """

    name = "classifier"

    def __init__(self, *, latent_dim: int, hidden: list[int], outputs: int = 1):
        super().__init__()
        require_widths("hidden", hidden)
        self.networks = nn.ModuleList(mlp([latent_dim, *hidden, outputs]) for _ in range(2))

    def forward(self, z, *, posterior, space, side):
        network = self.networks[side]
        u, log_jacobian = space.standardiser(z)(z)
        frozen = {name: p.detach() for name, p in network.named_parameters()}
        value = (functional_call(network, frozen, (u,)).sum(1) - space.log_prob(u) - log_jacobian).mean()
        if space.name != "box":
            value = value - logdet_bias(*z.shape)
        own = self.own_loss(network, u.detach(), space)
        return value + own.detach() - own  # the value alone; its gradient trains both sides

    def own_loss(self, network: nn.Module, u: Tensor, space) -> Tensor:
        """What the network learns from: samples u of Q, [B, D], against as many of R."""
        return cross_entropy(lambda x: network(x).squeeze(1), space.sample(u), u)


def cross_entropy(logit: Callable[[Tensor], Tensor], p: Tensor, q: Tensor) -> Tensor:
    """Twice the mean loss, [], of telling samples of P from samples of Q, [B, D] each; at the optimum the logit is
    log P / Q. 2 log 2 where it knows nothing."""
    return F.softplus(-logit(p)).mean() + F.softplus(logit(q)).mean()


class Telescoping(Classifier):
    """log R / Q as a sum over bridges: one classifier between each two neighbours of a path from R to Q.

    A classifier that separates R from Q without fail learns no ratio; neighbours on the path overlap. The path mixes a
    sample of R into one of Q: a normal mix, so that first moments stay, pulled back to the sphere there. One network
    with an output a bridge. Gradient, relations to I and to the ELBO: the classifier's; its bias up is smaller where
    the ratio is wide, its variance larger. No ceiling but what `bridges` classifiers can tell apart.
    Source: Rhodes, Xu & Gutmann 2020.
    """

    name = "telescoping"

    def __init__(self, *, bridges: int, **common):
        require_at_least(1, bridges=bridges)
        super().__init__(outputs=bridges, **common)
        self.bridges = bridges

    def own_loss(self, network, u, space) -> Tensor:
        reference = space.sample(u)
        path = [reference, *(space.mix(reference, u, k / self.bridges) for k in range(1, self.bridges)), u]
        losses = [
            cross_entropy(lambda x, k=k: network(x)[:, k], near, far)
            for k, (near, far) in enumerate(zip(path, path[1:]))
        ]
        return sum(losses) / self.bridges
