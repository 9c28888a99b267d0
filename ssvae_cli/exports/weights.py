"""The encoder's weights by their names, in one file with what its input is."""

import json
from pathlib import Path

from ssvae_cli.files import write_safetensors
from ssvae_cli.load_run import Loaded


def safetensors(loaded: Loaded, run: Path, folder: Path) -> Path:
    """encoder.safetensors: `backbone.*` up to the features, `projector.*` from there to z; what one x is, and how it is
    normalised, in the metadata."""
    metadata = {name: json.dumps(value) for name, value in described(loaded).items()}
    write_safetensors(folder / "encoder.safetensors", loaded.objective.encoder.state_dict(), metadata)
    return folder / "encoder.safetensors"


def described(loaded: Loaded) -> dict[str, object]:
    """What one x is and how it is normalised; the dimension of z."""
    sample, pairs = loaded.data.sample(), loaded.pairs
    normalised = {"mean": plain(pairs.mean), "std": plain(pairs.std)} if sample["bytes"] else {}
    kind = {"shape": sample["shape"], "dtype": "uint8" if sample["bytes"] else "float"}
    return {"input": kind | normalised, "latent_dim": loaded.config.encoder.latent_dim}


def plain(value: object) -> object:
    """A number or a list of numbers, as JSON has them."""
    return value.tolist() if hasattr(value, "tolist") else list(value) if isinstance(value, (list, tuple)) else value
