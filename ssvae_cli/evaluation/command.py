"""The job of `ssvae eval`: a run read again: probes, ELBO, both sides of Eq. 23, fresh critics, pictures."""

import json
import logging
import math
from pathlib import Path

from omegaconf import DictConfig

from ssvae_cli.build import build
from ssvae_cli.checkpoint import atomic_write
from ssvae_cli.errors import require
from ssvae_cli.evaluation.evaluator import Evaluator
from ssvae_cli.evaluation.fresh_critics import fresh_bounds
from ssvae_cli.loading import load_run
from ssvae_cli.mi.critics import refuse_others
from ssvae_cli.mi.data import Pairs
from ssvae_cli.tracking import closing_table, plain

log = logging.getLogger(__name__)


def evaluate(cfg: DictConfig, folder: Path, choices: dict[str, str]) -> dict[str, float | None]:
    """Evaluate the run `cfg.run`; what it read goes to summary.json and figures/ in `folder`, and is returned.

    The probe's penalty and the critics' steps are chosen on validation; the encoder stays as it is, so that what
    training reported on test is found again.
    """
    require(isinstance(cfg.views, int) and cfg.views >= 1, f"views must be an integer of at least 1, got {cfg.views!r}")
    training = build(cfg.training, "training")
    estimators = {name: build(node, f"estimators.{name}") for name, node in cfg.estimators.items()}
    refuse_others(estimators)
    loaded = load_run(cfg.run, device=cfg.device, trust=cfg.trust)
    probe = build(loaded.config.probe, "probe")
    evaluator = Evaluator(objective=loaded.objective, pairs=loaded.pairs, probe=probe, data=loaded.data)

    values = evaluator.validation() | evaluator.test() | {"data/log_n_test": math.log(len(loaded.data.test))}
    if loaded.objective.prior.views == 2:
        repeats = {"train": cfg.views, "validation": 1, "test": 1}
        pairs = {s: Pairs(*(z.cpu() for z in evaluator.latents(s, n))) for s, n in repeats.items()}
        values |= fresh_bounds(
            **pairs,
            critic=lambda dim: build(cfg.critic, "critic", latent_dim=dim),
            estimators=estimators,
            training=training,
            seed=cfg.seed,
        )
    text = json.dumps({key: plain(value) for key, value in values.items()}, indent=2) + "\n"
    atomic_write(folder / "summary.json", lambda path: path.write_text(text))
    (folder / "figures").mkdir(exist_ok=True)
    for name, figure in evaluator.figures():
        figure.savefig(folder / "figures" / f"{name}.png", dpi=150)
    closing_table(values)
    log.info("evaluated %s into %s", cfg.run, folder)
    return values
