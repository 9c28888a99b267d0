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

    R has the batch's moments (normal; angular central Gaussian on the sphere), so an encoder cannot move away from R
    faster than the classifier learns: this is logdet's entropy less KL(Q || R) as the classifier sees it. On the box R
    is uniform. If R is P(z) this is Sec. 3.1 of the paper as printed. Gradient: the encoder's is that of the value with
    the classifier frozen, the classifier's that of its cross-entropy with the encoder frozen, in one backward pass.
    Relation to I: none. Relation to the ELBO: an estimate, biased up if the classifier is too weak or too slow to
    separate R from Q. No ceiling; low variance. Reported numbers use a fresh classifier on held-out samples.
    """

    name = "classifier"

    def __init__(self, *, latent_dim: int, hidden: list[int], outputs: int = 1):
        super().__init__()
        require_widths("hidden", hidden)
        self.networks = nn.ModuleList(mlp([latent_dim, *hidden, outputs]) for _ in range(2))

    def forward(self, z, *, posterior, space, side, mixture=None):
        network = self.networks[side]
        u, log_jacobian = space.standardiser(z)(z)
        frozen = {name: p.detach() for name, p in network.named_parameters()}
        value = (functional_call(network, frozen, (u,)).sum(1) - space.log_prob(u) - log_jacobian).mean()
        if space.name != "box":
            value = value - logdet_bias(*z.shape)
        own = self.own_loss(network, u.detach(), space)
        return value + own.detach() - own  # the value alone; its gradient trains both sides

    def own_loss(self, network: nn.Module, u: Tensor, space) -> Tensor:
        """The network's loss: samples u of Q, [B, D], against as many of R."""
        return cross_entropy(lambda x: network(x).squeeze(1), space.sample(u), u)


def cross_entropy(logit: Callable[[Tensor], Tensor], p: Tensor, q: Tensor) -> Tensor:
    """Twice the mean loss, [], of a classifier between samples of P and of Q, [B, D] each: 2 log 2 at chance; at the
    optimum the logit is log P / Q."""
    return F.softplus(-logit(p)).mean() + F.softplus(logit(q)).mean()


class Telescoping(Classifier):
    """log R / Q as a sum over bridges: one classifier between each two neighbours of a path from R to Q.

    A classifier that separates R from Q perfectly learns no ratio; neighbours on the path overlap. The path mixes
    samples of R and Q with weights that keep the first moments, projected to the sphere there. One network has one
    output per bridge. Gradient: as for `classifier`. Relation to I: none. Relation to the ELBO: an estimate, biased up
    as `classifier`, by less if R and Q are far apart, but with a larger variance. No ceiling except what `bridges`
    classifiers can separate. Source: Rhodes, Xu & Gutmann 2020.
    """

    name = "telescoping"

    def __init__(self, *, bridges: int, **common):
        require_at_least(1, bridges=bridges)
        super().__init__(outputs=bridges, **common)
        self.bridges = bridges

    def own_loss(self, network, u, space) -> Tensor:
        reference = space.sample(u)
        path = [reference, *(space.mix(reference, u, k / self.bridges) for k in range(1, self.bridges)), u]
        bridges = enumerate(zip(path, path[1:]))
        return sum(cross_entropy(lambda x, k=k: network(x)[:, k], p, q) for k, (p, q) in bridges) / self.bridges
