"""Known latents of a law behind a random invertible network, as in the theory of contrastive learning."""

from collections.abc import Callable

from ssvae_cli.datasets.base import Data
from ssvae_cli.datasets.laws.base import Law
from ssvae_cli.datasets.laws.noise import WithNoise
from ssvae_cli.datasets.synthetic import InvertibleNetwork, observed
from ssvae_cli.errors import require_at_least


def latents(
    *,
    law: Callable[..., Law],
    dim: int,
    noise: int = 0,
    width: int | None = None,
    layers: int,
    steps: int | None,
    train: int,
    validation: int,
    test: int,
    seed: int,
    memory_gb: float = 4.0,
) -> Data:
    """x = network(z) and x' = network(z'), (z, z') of a law; or sequences [N, T, D] of its chains of T = steps.

    noise: so many further coordinates of z are normal, and drawn anew in z' and at each step. width: the dimension of
    x; None: that of z. Factors: z. Raises UserError if the law's settings do not fit together.
    """
    require_at_least(0, noise=noise)
    known = law(dim=dim, seed=seed)
    known = WithNoise(known, noise) if noise else known
    network = InvertibleNetwork(dim=dim + noise, layers=layers, seed=seed, width=width)
    counts = {"train": train, "validation": validation, "test": test}
    return observed(known, network, steps=steps, counts=counts, seed=seed, memory_gb=memory_gb)
