"""What the generated data sets share: splits from one seed, and a random invertible network."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ssvae_cli.datasets.base import UNLABELLED, Split
from ssvae_cli.device import floats
from ssvae_cli.errors import require, require_at_least

SLOPE = 0.2  # of the leaky ReLU
APART = 3_141_592_653  # offset from the seeds of runs: pairs drawn from the data's own stream would repeat the data


def make_splits(
    counts: dict[str, int], seed: int, memory_gb: float, make: Callable[[int, torch.Generator], Split]
) -> dict[str, Split]:
    """Train, validation and test of these sizes by `make`, each from its own random stream: none changes another.

    seed: of the data, independent of the run's. Raises UserError if they take more than memory_gb: generated data are
    kept in memory, not streamed.
    """
    require_at_least(0, seed=seed)
    require_at_least(1, **counts)
    one = make(1, torch.Generator().manual_seed(seed))
    size = sum(counts.values()) * (one.x.nbytes + one.factors.nbytes) / 2**30
    excess = f"would take {size:.3g} GiB where memory_gb={memory_gb:g}"
    require(size <= memory_gb, f"generated data stay in memory, and these {excess}; lower train, or raise memory_gb")
    return {
        name: make(count, torch.Generator().manual_seed(APART + 3 * seed + place))
        for place, (name, count) in enumerate(counts.items())
    }


def unlabelled(x: Tensor, factors: Tensor) -> Split:
    """A split without labels."""
    return Split(x, torch.full((len(x),), UNLABELLED), factors=factors)


class InvertibleNetwork(nn.Module):
    """Invertible: `layers` random orthogonal maps of R^D, fixed by the seed, with leaky ReLUs; smooth but for kinks."""

    def __init__(self, *, dim: int, layers: int, seed: int):
        super().__init__()
        require_at_least(0, layers=layers)
        generator = torch.Generator().manual_seed(seed)
        # Orthogonal matrices stand for the low condition numbers that Zimmermann et al. (2021) search for.
        square = torch.randn(layers, dim, dim, generator=generator, dtype=torch.float64)
        self.register_buffer("weights", floats(torch.linalg.qr(square).Q))

    def forward(self, z: Tensor) -> Tensor:
        """[N, D] -> [N, D]."""
        for i, weight in enumerate(self.weights):
            z = (F.leaky_relu(z, SLOPE) if i else z) @ weight.T
        return z

    def inverse(self, x: Tensor) -> Tensor:
        """[N, D] -> [N, D], the z that `forward` maps to x."""
        for i in reversed(range(len(self.weights))):
            x = F.leaky_relu(x @ self.weights[i], 1 / SLOPE) if i else x @ self.weights[i]
        return x
