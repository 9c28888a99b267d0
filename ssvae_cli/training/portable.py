"""A run's model without its optimizer, as config.json and model.safetensors, read wherever a run's folder is."""

import json
from pathlib import Path

from omegaconf import OmegaConf
from safetensors.torch import load as from_safetensors
from torch import Tensor

from ssvae_cli.files import reading, write_json, write_safetensors
from ssvae_cli.run_folder import CONFIG, MODEL

KEPT = ("sample", "shapes", "data", "fitted", "epoch")  # of a checkpoint, besides configuration and weights


def save(folder: Path, state: dict, about: dict[str, object]) -> None:
    """Write a checkpoint's configuration and weights, the averaged ones where there are some.

    about: what else config.json is to say."""
    weights = state["average"] or state["objective"]
    own = {name: tensor for name, tensor in weights.items() if not is_repeated(name, weights)}
    write_safetensors(folder / MODEL, own, {"format": "pt"})
    config = OmegaConf.to_container(OmegaConf.create(state["config"]), resolve=False)
    write_json(
        folder / CONFIG,
        {"model_type": "ssvae", **about, "ssvae": {key: state[key] for key in KEPT}} | {"config": config},
    )


def load(folder: Path) -> dict:
    """The same as a checkpoint, without what a resumed run needs. Raises UserError for files that are damaged."""
    with reading(folder, f"{folder}: {CONFIG} and {MODEL} hold no model of ssvae, or are cut short"):
        stored = json.loads((folder / CONFIG).read_text("utf-8"))
        weights = from_safetensors((folder / MODEL).read_bytes())
        state = {key: stored["ssvae"][key] for key in KEPT}
        config = OmegaConf.to_yaml(OmegaConf.create(stored["config"]))
    prime = "encoder_prime."
    if not any(name.startswith(prime) for name in weights):  # g' is g
        own = {name: tensor for name, tensor in weights.items() if name.startswith("encoder.")}
        weights |= {name.replace("encoder.", prime, 1): tensor for name, tensor in own.items()}
    return {**state, "config": config, "objective": weights, "average": None}


def is_repeated(name: str, weights: dict[str, Tensor]) -> bool:
    """Whether a weight is that of g under the name of g', which is g."""
    of_g = name.replace("encoder_prime.", "encoder.", 1)
    return name != of_g and of_g in weights and weights[of_g].data_ptr() == weights[name].data_ptr()
