"""The weights that a run begins with, where they come from another run."""

from pathlib import Path

from ssvae_cli.encoders.pretrained import load_fitting
from ssvae_cli.objective import Objective
from ssvae_cli.paths import expanded
from ssvae_cli.training import checkpoint

REMEDY = "give the encoder, encoder.latent_dim and posterior of that run"


def begin_from(objective: Objective, folder: str) -> None:
    """Give g and g' the weights of the last checkpoint of another run; prior and critic begin anew.

    They are the averaged ones where that run averages them. Raises UserError where there is none, and where a weight is
    missing or of another shape."""
    run = Path(expanded(folder, "init_from"))
    state = checkpoint.load(run, key="init_from")
    stored = state["average"] or state["objective"]
    for name in ("encoder.", "encoder_prime."):
        weights = {key.removeprefix(name): value for key, value in stored.items() if key.startswith(name)}
        load_fitting(getattr(objective, name[:-1]), weights, f"init_from={run}", REMEDY, name)
