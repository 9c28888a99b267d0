"""Known latents of a law behind a random invertible network, as in the theory of contrastive learning."""

from collections.abc import Callable

from ssvae_cli.datasets.base import Data
from ssvae_cli.datasets.laws.base import Law
from ssvae_cli.datasets.synthetic import InvertibleNetwork, observed


def latents(
    *,
    law: Callable[..., Law],
    dim: int,
    layers: int,
    steps: int | None,
    train: int,
    validation: int,
    test: int,
    seed: int,
    memory_gb: float = 4.0,
) -> Data:
    """x = network(z) and x' = network(z'), (z, z') of a law; or sequences [N, T, D] of its chains of T = steps.

    Factors: z. Raises UserError if the law's settings do not fit together.
    """
    known = law(dim=dim, seed=seed)
    network = InvertibleNetwork(dim=dim, layers=layers, seed=seed)
    counts = {"train": train, "validation": validation, "test": test}
    return observed(known, network, steps=steps, counts=counts, seed=seed, memory_gb=memory_gb)
