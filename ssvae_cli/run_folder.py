"""A run's folder: the names of its files, and whether it has ended."""

import contextlib
import json
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

CHECKPOINT = Path("checkpoints") / "last.pt"
SPLIT = "split.json"  # the names of the samples of each split, where they have names
FAILED = "failed.txt"  # in the folder of a sweep's job until it has ended: why it did not


def holds_run(run: Path) -> bool:
    """Whether something was trained in a folder; a run killed before its first checkpoint is none."""
    metrics = run / "metrics.jsonl"
    return (run / CHECKPOINT).exists() or (metrics.exists() and metrics.stat().st_size > 0)


def is_finished(folder: Path) -> bool:
    """Whether a job of a sweep has ended without failing."""
    return (folder / "summary.json").exists() and not (folder / FAILED).exists()


def has_ended(run: Path, epochs: int) -> bool:
    """Whether a run has ended after so many epochs, with a complete summary."""
    with contextlib.suppress(OSError, ValueError):
        json.loads((run / "summary.json").read_text())
        return last_line(run).get("epoch") == epochs
    return False


def last_line(run: Path) -> dict:
    """A run's metrics after its last epoch; {} where there are none."""
    with contextlib.suppress(OSError, IndexError):
        return json.loads((run / "metrics.jsonl").read_text().splitlines()[-1])
    return {}


def flatten(config: DictConfig | dict, prefix: str = "") -> dict[str, object]:
    """Nested config to dotted keys."""
    plain = OmegaConf.to_container(config, resolve=True) if isinstance(config, DictConfig) else config
    flat = {}
    for key, value in plain.items():
        flat |= flatten(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return flat
