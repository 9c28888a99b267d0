"""What the data sets that are made on the fly share: splits from one seed, and a random invertible network."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ssvae_cli.datasets.base import Split
from ssvae_cli.errors import require, require_at_least

UNLABELLED = -1
SLOPE = 0.2  # of the leaky ReLU
APART = 3_141_592_653  # from the seeds of runs: pairs drawn from the data's own stream would repeat the data


def make_splits(
    counts: dict[str, int], seed: int, memory_gb: float, make: Callable[[int, torch.Generator], Split]
) -> dict[str, Split]:
    """Train, validation and test of these sizes by `make`, each from a stream of its own: none moves another.

    Raises UserError where they take more than memory_gb: what is made is held, and not streamed.
    """
    require_at_least(0, seed=seed)
    for name, count in counts.items():
        require(count >= 1, f"{name} must be at least 1, got {count}")
    one = make(1, torch.Generator().manual_seed(seed))
    need = sum(counts.values()) * sum(held.nbytes for held in (one.x, one.factors)) / 2**30
    require(
        need <= memory_gb,
        f"data that are made on the fly are held in memory, and these would take {need:.3g} GiB where "
        f"memory_gb={memory_gb:g}; lower train, or raise memory_gb",
    )
    splits = {}
    for place, (name, count) in enumerate(counts.items()):
        splits[name] = make(count, torch.Generator().manual_seed(APART + 3 * seed + place))
    return splits


def unlabelled(x: Tensor, factors: Tensor | None = None) -> Split:
    """A split without labels."""
    return Split(x, torch.full((len(x),), UNLABELLED), factors=factors)


class InvertibleNetwork(nn.Module):
    """`layers` random orthogonal maps of R^D with leaky ReLUs between, fixed by the seed: one to one, and smooth but
    for the kinks. Orthogonal matrices stand for the low condition numbers that Zimmermann et al. (2021) search for.
    """

    def __init__(self, *, dim: int, layers: int, seed: int):
        super().__init__()
        require_at_least(0, layers=layers)
        generator = torch.Generator().manual_seed(seed)
        square = torch.randn(layers, dim, dim, generator=generator, dtype=torch.float64)
        self.register_buffer("weights", torch.linalg.qr(square).Q.float())

    def forward(self, z: Tensor) -> Tensor:
        """[N, D] -> [N, D]."""
        for i, weight in enumerate(self.weights):
            z = (F.leaky_relu(z, SLOPE) if i else z) @ weight.T
        return z

    def inverse(self, x: Tensor) -> Tensor:
        """[N, D] -> [N, D], what `forward` made x of."""
        for i in reversed(range(len(self.weights))):
            x = x @ self.weights[i]
            x = F.leaky_relu(x, 1 / SLOPE) if i else x
        return x
