"""A finished or stopped run from its folder: its parts with the weights of its last checkpoint."""

import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf

from ssvae_cli.datasets.base import Data, Shape
from ssvae_cli.datasets.checked import make_data
from ssvae_cli.datasets.fingerprint import fingerprint
from ssvae_cli.device import device_of, set_precision
from ssvae_cli.distributed.machine import machine
from ssvae_cli.errors import in_yaml, require, setting_of
from ssvae_cli.instantiate.build import build
from ssvae_cli.instantiate.trust import refuse_untrusted
from ssvae_cli.objective import Objective, make_objective
from ssvae_cli.pairs.base import CONTRACT as PAIRS
from ssvae_cli.pairs.base import Pairs, make_pairs
from ssvae_cli.paths import expanded
from ssvae_cli.run_folder import DATA_PATHS, data_elsewhere
from ssvae_cli.training import checkpoint

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Loaded:
    """What a run was made of. objective: trained, in evaluation mode, on the device that was asked for,
    in the precision that it was trained in, which is then that of the process."""

    config: DictConfig
    data: Data
    pairs: Pairs
    objective: Objective
    state: dict[str, Any]  # the checkpoint

    def untrained(self) -> Objective:
        """The objective as it was before training, with the first weights of the run's seed."""
        torch.manual_seed(self.config.seed)
        objective = make_objective(self.config, *self.pairs.shapes(self.data))
        return objective.to(next(self.objective.parameters()).device).eval()

    def introduce(self, run: str) -> None:
        """Log what a command computes on, and what the data say of themselves: once nothing can be refused any more."""
        place = next(self.objective.parameters()).device
        for note in (f"run={run}: {machine(place)}", *self.data.notes):
            log.info("%s", note)


@dataclass(frozen=True)
class Stored:
    """A run's last checkpoint."""

    run: Path
    config: DictConfig
    state: dict[str, Any]

    @property
    def shapes(self) -> tuple[Shape, ...]:
        """Of one x, of one x' and of each further view, as the encoders get them."""
        return tuple(tuple(shape) for shape in self.state["shapes"])

    def objective(self, device: torch.device) -> Objective:
        """As it was trained, or the average of its weights, in evaluation mode; it is built in the process's floats."""
        objective = make_objective(self.config, *self.shapes).to(device)
        objective.load_state_dict(self.state["average"] or self.state["objective"])
        return objective.eval()


def stored_run(folder: str, *, trust: bool, name: str = "last") -> Stored:
    """The last checkpoint in `folder`, without its data. Raises UserError where there is none, and where it names parts
    that are not trusted."""
    run = Path(expanded(folder, "run"))
    state = checkpoint.load(run, key="run", name=name)
    config = OmegaConf.create(state["config"])
    refuse_untrusted(config, run, trust=trust)
    if state["epoch"] < config.trainer.epochs and name == "last":
        log.warning("%s is unfinished: after epoch %d of %d", run, state["epoch"], config.trainer.epochs)
    return Stored(run, config, state)


def load_run(
    folder: str,
    *,
    device: str,
    trust: bool,
    dataset: DictConfig | None = None,
    name: str = "last",
    in_pairs: bool = True,
) -> Loaded:
    """The run in `folder`, on its own data or, where `dataset` is a configuration, on other data of the same shape.

    trust: whether parts that are not ssvae's own may be built. name: of the checkpoint. in_pairs: whether other data
    are read in pairs, and not as clean samples alone. Raises UserError where the folder holds no run, where it names
    parts that are not trusted, and where the data do not fit its pairs, or are of another shape than those that it was
    trained on.
    """
    stored = stored_run(folder, trust=trust, name=name)
    config, place = stored.config, device_of(device)
    set_precision(config.trainer.precision)
    fitted = stored.state.get("fitted", {})
    own = OmegaConf.merge(config.dataset, data_elsewhere(stored.run, config.dataset))
    data = make_data(own if dataset is None else dataset, fitted=fitted).to(place)
    if dataset is None and (fault := checkpoint.other_data(stored.state.get("data"), fingerprint(data))):
        log.warning("run=%s: %s", folder, fault)
    if is_scaled(fitted) != is_scaled(data.fitted):
        said = "not scaled, and these are, by their own train split", "scaled, and these are read as they are"
        log.warning("run=%s: its data were %s", folder, said[is_scaled(fitted)])
    for caution in cautions(own, dataset or own):
        log.warning("run=%s: %s", folder, caution)
    pairs = make_pairs(config.pairs, data) if dataset is None or in_pairs else readable(config.pairs, data)
    for side, got, trained in zip(("x", "x'"), pairs.shapes(data)[: 2 if in_pairs else 1], stored.shapes):
        fault = f"one {side} is {list(got)}, and the run was trained on {list(trained)}; give data of that shape"
        require(got == trained, f"dataset: {fault}")
    torch.manual_seed(config.seed)
    return Loaded(config, data, pairs, stored.objective(place), stored.state)


def cautions(own: Mapping[str, Any], given: Mapping[str, Any]) -> list[str]:
    """What to know of data of the same kind as a run's own: files of its own that are divided in another way, and
    another layer."""
    if own.get("_target_") != given.get("_target_"):
        return []
    said = []
    places = [{k: os.path.realpath(expanded(str(d[k]), k)) for k in DATA_PATHS if d.get(k)} for d in (own, given)]
    if places[0] and places[0] == places[1]:
        for key in (key for key in ("validation", "test") if own.get(key) != given.get(key)):
            split = f"dataset.{key} was {in_yaml(own.get(key))} of the same files, now {in_yaml(given.get(key))}"
            said.append(f"{split}: samples that the encoder was trained on may be among those that are read as new")
    if own.get("layer") != given.get("layer"):
        before, now = in_yaml(own.get("layer")), in_yaml(given.get("layer"))
        said.append(f"dataset.layer was {before}, now {now}: the encoder reads these values as if they were the others")
    return said


def is_scaled(fitted: Mapping[str, Any]) -> bool:
    """Whether data are measurements, such as a table, whose columns were scaled by what was fitted to them."""
    return "columns" in fitted and bool(fitted["log1p"] or fitted["total"] is not None or any(fitted["mean"]))


def readable(config: DictConfig, data: Data) -> Pairs:
    """The pair generator of a configuration, not attached to the data, of which it reads clean samples alone. Raises
    UserError if it cannot."""
    pairs = build(config, "pairs", PAIRS)
    with setting_of("pairs", config):
        pairs.require_readable(data)
    return pairs
