"""The classifier over bridges, for a ratio too wide for one classifier."""

from torch import Tensor

from ssvae_cli.errors import require_at_least
from ssvae_cli.estimators.classifier import Classifier, cross_entropy


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
