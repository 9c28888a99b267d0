"""`ssvae eval`: evaluate a run again: its own metrics, I by further fresh critics, pictures."""

import logging
from pathlib import Path

import torch
from omegaconf import DictConfig

from ssvae_cli.errors import require, require_bool, require_extra
from ssvae_cli.estimators.base import CONTRACT as ESTIMATOR
from ssvae_cli.evaluation.described import known
from ssvae_cli.evaluation.evaluation import Values
from ssvae_cli.evaluation.examples import examples, umap_plane
from ssvae_cli.evaluation.figures import pictures
from ssvae_cli.evaluation.fit import Fit
from ssvae_cli.evaluation.fresh_critics import fit_and_read, no_information, require_information
from ssvae_cli.evaluation.reading import Reading
from ssvae_cli.evaluation.rows import drawn
from ssvae_cli.evaluation.samples import Pairs, Parts, normalised
from ssvae_cli.evaluation.unread import unread
from ssvae_cli.instantiate.build import build, build_named
from ssvae_cli.load_run import load_run
from ssvae_cli.tracking.console import closing_table
from ssvae_cli.tracking.missing import Missing
from ssvae_cli.tracking.png import save_png
from ssvae_cli.tracking.record import write_summary

log = logging.getLogger(__name__)
SCORED = 2048  # pairs of validation and of test, as a table of scores grows with their square


def evaluate(cfg: DictConfig, folder: Path, choices: dict[str, str]) -> Values:
    """Evaluate the run `cfg.run`, on its own data or on others of the same shape.

    The numbers are returned and written, with figures/, to summary.json in `folder`.

    The probe's penalty and the critics' steps are chosen on validation. The encoder is unchanged, so the test results
    of training are reproduced.
    """
    require_bool(umap=cfg.umap)
    if cfg.umap:
        require_extra("umap", "umap=true", "umap")
    lacking = "has no metric; give evaluation=full or evaluation=quick"
    evaluation = None if cfg.evaluation is None else build(cfg.evaluation, "evaluation")
    require(evaluation is None or bool(evaluation.metrics), f"evaluation {lacking}")
    loaded = load_run(cfg.run, device=cfg.device, trust=cfg.trust, dataset=cfg.dataset, name=str(cfg.checkpoint))
    estimators = build_named(cfg, "estimators", ESTIMATOR)
    require_information(estimators)
    training = build(cfg.training, "training")
    build(cfg.critic, "critic", latent_dim=loaded.config.encoder.latent_dim)  # refused here, not after the metrics
    evaluation = evaluation or build(loaded.config.evaluation, "evaluation")
    require(bool(evaluation.metrics), f"run={cfg.run}: its evaluation {lacking}")
    evaluation.require_served(loaded.objective)
    loaded.introduce(cfg.run)
    reading = evaluation.reading(loaded.objective, loaded.pairs, loaded.data, loaded.untrained())

    values = unread() | evaluation(reading, "validation") | evaluation(reading, "test") | known(reading)
    values |= fresh_information(cfg, estimators, training, reading)
    write_summary(folder, values)
    by_umap = [("latents_umap", umap_plane(reading))] if cfg.umap else []
    for name, figure in [*pictures(reading, "test"), *examples(reading), *by_umap]:
        save_png(figure, folder / "figures" / f"{name}.png")
    closing_table(values)
    log.info("evaluated %s into %s", cfg.run, folder)
    return values


def fresh_information(cfg: DictConfig, estimators: dict, training: Fit, reading: Reading) -> Values:
    """`mi/fresh/<name>/test` and its standard error `mi/fresh/<name>/error`, nats; Missing for one that failed.

    Each estimator trains its own critic on the pairs that the evaluation's fits use, with every coordinate as normal
    scores, which leaves I unchanged. None for a single latent.
    """
    of_splits = (reading.fitting_latents("train"), reading.latents("validation"), reading.latents("test"))
    latents = [[z.cpu() for z in sides] for sides in of_splits]
    keys = [f"mi/fresh/{name}/{what}" for name in estimators for what in ("test", "error")]
    if len(latents[-1]) == 1:
        return dict.fromkeys(keys)
    if fault := no_information(*latents):
        return dict.fromkeys(keys, fault)
    train, *read = (Pairs(*sides) for sides in latents)
    parts = normalised(Parts(train, *(pairs.rows(drawn(len(pairs.x), SCORED)) for pairs in read)))
    values = {}
    for name, estimator in estimators.items():
        torch.manual_seed(cfg.seed)
        critic = build(cfg.critic, "critic", latent_dim=train.x.shape[1])
        estimate, _ = fit_and_read(critic, estimator, training, parts, torch.Generator().manual_seed(cfg.seed))
        failure = estimate.failure()
        value, error = [Missing(failure)] * 2 if failure else estimate
        values |= {f"mi/fresh/{name}/test": value, f"mi/fresh/{name}/error": error}
    return values
