"""What a run tells besides its metrics: the parameters of its laws, and what its numbers mean."""

import math

import torch
from torch import Tensor

from ssvae_cli.estimators.base import meaning
from ssvae_cli.evaluation.elbo import BOUNDS
from ssvae_cli.evaluation.reading import Reading
from ssvae_cli.objective import Objective


def described(of: str, parameters: dict[str, Tensor | float | list]) -> dict[str, float]:
    """The parameters of a law by name, numbers or one for each dimension: <of>/<name>, of several the mean and the
    extremes. Matrices are left out."""
    found = {}
    for name, values in parameters.items():
        values = torch.as_tensor(values, dtype=torch.float64)
        if values.ndim < 2:
            found[f"{of}/{name}"] = values.mean().item()
        if values.ndim == 1:
            found |= {f"{of}/{name}/least": values.min().item(), f"{of}/{name}/largest": values.max().item()}
    return found


def known(reading: Reading) -> dict[str, float | None]:
    """What a summary holds besides its metrics: `views`, how many latents the prior is of; its learned parameters,
    `prior/<name>`, and the true ones of the data's law, `truth/<name>`; in nats `data/log_n_test`, log n of n test
    samples, and `data/mi_true`, I(x; x') of the pairs, None where it is unknown."""
    return {
        "views": len(reading.objective.encoders),
        **described("prior", reading.objective.prior.described()),
        **described("truth", reading.data.truth),
        "data/log_n_test": math.log(len(reading.data.test)),
        "data/mi_true": reading.pairs.mi(reading.data),
    }


def meanings(objective: Objective) -> dict[str, str]:
    """What TensorBoard says of the ELBO, of the bounds and of the effective rank."""
    splits = ("validation", "test")
    of_bounds = {f"mi/{b.name}/{split}": meaning(b) for b in BOUNDS for split in splits}
    of_rank = {f"geometry/rank/{split}": "effective rank of centred z (Roy & Vetterli 2007)" for split in splits}
    estimator = objective.estimator
    training = f"{estimator.name}: {meaning(estimator)}" if estimator else ""
    return of_bounds | of_rank | ({"elbo/train": training, "objective/train": training} if training else {})
