"""What the generated data sets share: splits from one seed, and latents of a law behind an invertible transform."""

import math
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ssvae_cli.datasets.base import UNLABELLED, Data, Split
from ssvae_cli.datasets.laws.base import Law
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
    parts = (one.x, one.factors, one.shared)
    size = sum(counts.values()) * sum(part.nbytes for part in parts if part is not None) / 2**30
    excess = f"would take {size:.3g} GiB where memory_gb={memory_gb:g}"
    require(size <= memory_gb, f"generated data stay in memory, and these {excess}; lower train, or raise memory_gb")
    return {
        name: make(count, torch.Generator().manual_seed(APART + 3 * seed + place))
        for place, (name, count) in enumerate(counts.items())
    }


def unlabelled(x: Tensor, factors: Tensor) -> Split:
    """A split without labels."""
    return Split(x, torch.full((len(x),), UNLABELLED), factors=factors)


def observed(law: Law, transform: nn.Module, *, steps: int | None = None, **splits) -> Data:
    """x = transform(z), x' = transform(z') for the law's z and z'; or the law's chains of `steps`, [N, T, D].

    splits: counts, seed, memory_gb, as for `make_splits`. transform: one to one, so that I(x; x') = I(z; z').
    Factors: z.
    """
    require(steps is None or steps >= 2, f"steps must be at least 2, or null for vectors, got {steps}")

    def make(count: int, generator: torch.Generator) -> Split:
        z, shared, label = law.sample(count, generator)
        if steps is not None:
            chain = [z]
            for _ in range(steps - 1):
                chain.append(law.partner(chain[-1], shared, generator))
            z, shared = torch.stack(chain, 1), None
        split = unlabelled(transform(z.flatten(0, -2)).unflatten(0, z.shape[:-1]), z)
        return replace(split, shared=shared, y=split.y if label is None else label)

    nats, error = law.information() or (None, 0.0)
    return Data(
        **make_splits(make=make, **splits),
        classes=tuple(map(str, range(law.classes))),
        factors=law.factors(),
        conditional=Partner(law, transform) if steps is None else None,
        mi=nats if steps is None or law.stationary else None,
        markov=law.markov,
        truth=law.truth,
        notes=(f"data/mi_true is a mean over samples, with a standard error of {error:.1g} nats",) if error else (),
    )


class Partner(nn.Module):
    """P(x'|x): x' = transform(z') for a fresh z' given z."""

    def __init__(self, law: Law, transform: nn.Module):
        super().__init__()
        self.law, self.transform = law, transform

    def forward(self, batch: Split, generator: torch.Generator) -> Tensor:
        """A fresh x' for every sample, [B, D]."""
        return self.transform(self.law.partner(batch.factors, batch.shared, generator))


class InvertibleNetwork(nn.Module):
    """One to one: `layers` random orthogonal maps, fixed by the seed, with leaky ReLUs; smooth but for kinks.

    width: the dimension of x, None: that of z; the first map embeds a z of fewer dimensions."""

    def __init__(self, *, dim: int, layers: int, seed: int, width: int | None = None):
        super().__init__()
        require_at_least(0, layers=layers)
        width = dim if width is None else width
        require(width >= dim, f"width must be at least {dim}, the dimension of z with its noise, or null; got {width}")
        require(layers or width == dim, f"width={width} above the dimension of z needs layers of at least 1")
        self.dim, self.width = dim, width
        generator = torch.Generator().manual_seed(seed)
        # Orthogonal matrices stand for the low condition numbers that Zimmermann et al. (2021) search for.
        square = torch.randn(layers, width, width, generator=generator, dtype=torch.float64)
        self.register_buffer("weights", floats(torch.linalg.qr(square).Q))

    def forward(self, z: Tensor) -> Tensor:
        """[N, dim] -> [N, width]."""
        if self.width > self.dim:  # x keeps the scale of z
            z = F.pad(z * math.sqrt(self.width / self.dim), (0, self.width - self.dim))
        for i, weight in enumerate(self.weights):
            z = (F.leaky_relu(z, SLOPE) if i else z) @ weight.T
        return z

    def inverse(self, x: Tensor) -> Tensor:
        """[N, width] -> [N, dim], the z that `forward` maps to x."""
        for i in reversed(range(len(self.weights))):
            x = F.leaky_relu(x @ self.weights[i], 1 / SLOPE) if i else x @ self.weights[i]
        return x[:, : self.dim] * math.sqrt(self.dim / self.width) if self.width > self.dim else x
