"""Entropies by a classifier (Sec. 3.1): its logit between samples of P and of Q is log P / Q."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ssvae_cli.compiler import marked, unmarked
from ssvae_cli.distributions.covariance import logdet_bias
from ssvae_cli.distributions.products import spheres_of
from ssvae_cli.errors import require_above, require_at_least
from ssvae_cli.estimators.base import EntropyEstimator
from ssvae_cli.layers import mlp, require_widths


class Classifier(EntropyEstimator):
    """H(z) = E_Q [log R(z) / Q(z)] - E_Q log R(z), the ratio being a classifier's logit (Sugiyama et al. 2012).

    R has the batch's moments (normal; angular central Gaussian on the sphere; uniform in the box), so an encoder cannot
    move away from R faster than the classifier learns: this is logdet's entropy less KL(Q || R) as the classifier sees
    it. If R is P(z) this is Sec. 3.1 of the paper as printed. The classifier has its own optimizer, `steps` of it
    for one of the encoder's, each on the batch and as many standardised samples of the last `replay` batches. That KL
    is at least 0, so the value is at most that of R. dims: the dimension of each variable whose entropy it estimates.
    Relation to I: none. Relation to the ELBO: an estimate, biased up where the classifier is too weak or too slow, and
    an encoder in training finds where: for reading, and for one latent (Sec. 3.1); train pairs with `conditionals` or
    `aggregate`. No ceiling; low variance.
    """

    name = "classifier"

    def __init__(self, *, dims: list[int], hidden: list[int], lr: float, steps: int, replay: int, outputs: int = 1):
        super().__init__()
        require_widths("hidden", hidden)
        require_above(0, lr=lr)
        require_at_least(1, steps=steps)
        require_at_least(0, replay=replay)
        self.steps, self.replay = steps, replay
        self.networks = nn.ModuleList(mlp([dim, *hidden, outputs]) for dim in dims)
        self.requires_grad_(False)  # the run's optimizer leaves them alone
        self.optimizers = [unmarked(torch.optim.AdamW)(network.parameters(), lr=lr) for network in self.networks]
        self.replayed: list[list[Tensor]] = [[] for _ in dims]  # standardised samples of the last batches, by side

    def least_rows(self, space, dim):
        return space.least_samples(dim)

    def forward(self, z, *, posterior, space, side, mixture=None):
        self.require_rows(len(z), space, z.shape[1])
        u, log_jacobian = space.standardiser(z)(z)
        if self.training and torch.is_grad_enabled():
            self.learn(u.detach(), space, side)
        log_ratio = self.networks[side](u).sum(1).mean()
        of_reference = -(space.log_prob(u) + log_jacobian).mean()
        if space.name != "box":
            of_reference = of_reference - sum(logdet_bias(*part.shape) for part in spheres_of(space, z) or (z,))
        return of_reference + log_ratio.clamp_max(0)

    @marked("disable")
    def learn(self, u: Tensor, space, side: int) -> None:
        """The classifier's own steps between samples of R and the samples u of Q, [B, D]."""
        network, optimizer, past = self.networks[side], self.optimizers[side], self.replayed[side]
        for _ in range(self.steps):
            rows = u
            if past:
                pool = torch.cat(past)
                rows = torch.cat([u, pool[torch.randint(len(pool), (len(u),), device=u.device)]])
            network.requires_grad_(True)
            loss = self.own_loss(network, rows, space)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            network.requires_grad_(False)
        self.replayed[side] = [u, *past][: self.replay]

    def own_loss(self, network: nn.Module, u: Tensor, space) -> Tensor:
        """The network's loss: samples u of Q, [B, D], against as many of R."""
        return cross_entropy(lambda x: network(x).squeeze(1), space.sample(u), u)

    def get_extra_state(self) -> dict:
        """The optimizers and the past samples: a checkpoint holds them."""
        return {"optimizers": [o.state_dict() for o in self.optimizers], "replayed": self.replayed}

    def set_extra_state(self, state: dict) -> None:
        for optimizer, stored in zip(self.optimizers, state["optimizers"]):
            optimizer.load_state_dict(stored)
        place = next(self.parameters())
        self.replayed = [[u.to(place.device) for u in side] for side in state["replayed"]]


def cross_entropy(logit: Callable[[Tensor], Tensor], p: Tensor, q: Tensor) -> Tensor:
    """Twice the mean loss, [], of a classifier between samples of P and of Q, [B, D] each: 2 log 2 at chance; at the
    optimum the logit is log P / Q."""
    return F.softplus(-logit(p)).mean() + F.softplus(logit(q)).mean()


class Telescoping(Classifier):
    """log R / Q as a sum over bridges: one classifier between each two neighbours of a path from R to Q.

    A classifier that separates R from Q perfectly learns no ratio; neighbours on the path overlap. The path mixes
    samples of R and Q with weights that keep the first moments, projected to the sphere there. One network has one
    output per bridge, trained as that of `classifier`. Relation to I: none. Relation to the ELBO: an estimate, biased
    up as `classifier`, by less if R and Q are far apart, but with a larger variance. No ceiling except what `bridges`
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
