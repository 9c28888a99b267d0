"""`ssvae train`: one plain training loop, top to bottom.

data -> pairs -> encoder -> prior -> estimator -> ELBO; then the metrics, read on test once, after the last epoch."""

import copy
import logging
import math
import time
from importlib.metadata import version
from pathlib import Path

import torch
from omegaconf import DictConfig

import ssvae_cli
from ssvae_cli.datasets.checked import make_data
from ssvae_cli.datasets.fingerprint import fingerprint
from ssvae_cli.device import device_name, keep_freed, set_precision
from ssvae_cli.distributed.batch_norm import synchronise_batch_norm
from ssvae_cli.distributed.collectives import (
    average_gradients,
    broadcast_random_state,
    init_process_group,
    is_rank_zero,
    sharded,
    world_size,
)
from ssvae_cli.distributed.machine import machine
from ssvae_cli.encoders.pretrained import load_pretrained
from ssvae_cli.errors import counted
from ssvae_cli.evaluation.described import described, known, meanings
from ssvae_cli.evaluation.figures import curves, pictures
from ssvae_cli.evaluation.unread import require_read, unread
from ssvae_cli.files import write_json, write_safetensors
from ssvae_cli.instantiate.build import build, build_named
from ssvae_cli.objective import make_objective
from ssvae_cli.pairs.base import make_pairs
from ssvae_cli.paths import shell_command, typed
from ssvae_cli.run_folder import BEGINS, CHECKPOINT, SPLIT, flatten
from ssvae_cli.tracking.console import Display, Stages, closing_table
from ssvae_cli.tracking.record import Record
from ssvae_cli.tracking.tracker import CONTRACT as TRACKER
from ssvae_cli.training.average import WeightAverage
from ssvae_cli.training.checkpoint import resolved_yaml
from ssvae_cli.training.collapse import CollapseWatch
from ssvae_cli.training.exploitation import ExploitationWatch
from ssvae_cli.training.initial import begin_from
from ssvae_cli.training.kept import KeptCheckpoints
from ssvae_cli.training.nan_guard import NanGuard
from ssvae_cli.training.signals import SafePoint
from ssvae_cli.training.state import TrainState
from ssvae_cli.training.step import Forward
from ssvae_cli.training.unreached import warn_of_unreached

log = logging.getLogger(__name__)

CHECK_EVERY = {"cpu": 1, "cuda": 100}  # steps between two reads of the NaN guard, each of which waits for a GPU


def train(cfg: DictConfig, run: Path, choices: dict[str, str]) -> dict:
    """Train, evaluate and log one configuration into the folder `run`; returns what summary.json holds."""
    # The parts, each from its own config node.
    trainer = build(cfg.trainer, "trainer")
    set_precision(trainer.precision)
    device = trainer.device
    init_process_group(device)
    keep_freed(device)
    torch.manual_seed(cfg.seed)
    data = make_data(cfg.dataset, fitted={}).to(device)
    pairs = make_pairs(cfg.pairs, data)
    evaluation = build(cfg.evaluation, "evaluation")
    objective = synchronise_batch_norm(make_objective(cfg, *pairs.shapes(data)).to(device), device)
    batch_size = trainer.distinct_batch_of(len(data.train), world_size())
    objective.require_batch(batch_size, cfg.encoder.latent_dim, device)
    evaluation.require_served(objective)
    trackers = build_named(cfg, "trackers", TRACKER)
    if trainer.keep_best is not None:
        require_read(trainer.keep_best, evaluation.metrics.values())
    kept = KeptCheckpoints(run, every=trainer.checkpoint_every, best=trainer.keep_best)

    # Its weights, its optimizer, and the state that checkpoints hold.
    steps_per_epoch = len(data.train) // batch_size
    total_steps = trainer.epochs * steps_per_epoch
    optimization = build(cfg.optimizer, "optimizer").attach(
        [objective],
        total_steps,
        of_prior=objective.prior.own_parameters(),
        suits=getattr(objective.estimator, "suits", {}),
    )
    untrained = copy.deepcopy(objective)
    if cfg.resume is None:
        load_pretrained(objective)
        if cfg.init_from is not None:
            begin_from(objective, cfg.init_from)
    average = None if trainer.ema is None else WeightAverage(objective, trainer.ema)
    nan_guard = NanGuard(objective, device)
    stored = {
        "config": resolved_yaml(cfg),
        "sample": data.sample(),
        "shapes": pairs.shapes(data),
        "data": fingerprint(data),
        "fitted": data.fitted,
        "threads": torch.get_num_threads(),
    }
    state = TrainState(
        run,
        objective=objective,
        optimization=optimization,
        average=average,
        stored=stored,
        seed=cfg.seed,
        device=device,
    )
    forward = Forward(objective, pairs, state.noise, compile=trainer.compile)

    if cfg.resume is not None:
        state.load(Path(cfg.resume))
        log.info("resumed %s after epoch %d and %s of the next", run, state.epoch, counted(state.step, "step"))

    # What is logged and recorded.
    exploitation = ExploitationWatch(objective, samples=len(data.train), information=pairs.mi(data))
    notes = [
        *data.notes,
        *trainer.notes(batch_size, len(data.train)),
        *objective.notes(paired=data.shape_prime is not None),
        *optimization.notes(),
        *exploitation.notes,
    ]
    for note in notes:
        log.info("%s", note)
    record = Record(
        run,
        kept_bytes=state.metrics_bytes if is_rank_zero() else 0,  # the others begin their own folder
        trackers=tuple(trackers.values()) if is_rank_zero() else (),
        settings=hyperparameters(cfg, choices, batch_size),
        meanings=meanings(objective),
    )
    if is_rank_zero():
        sizes = ", ".join(f"{len(split)} {name}" for name, split in data.splits.items())
        count = sum(p.numel() for p in objective.parameters())
        log.info("%s%s", BEGINS, run)
        start = (machine(device), sizes, f"{count:,}", counted(steps_per_epoch, "step"))
        log.info("%s; samples: %s; %s parameters; %s an epoch", *start)
        log.info("%s", shell_command("tensorboard", "--logdir", typed(run)))

    # The loop.
    def check_finite() -> None:
        nan_guard.check(steps_per_epoch, f"the last good checkpoint is {run / CHECKPOINT}")

    def save() -> None:
        check_finite()
        state.save(record.bytes_written)

    if cfg.resume is None and is_rank_zero():
        if listing := data.listing():
            write_json(run / SPLIT, listing)
        save()  # from here on the run can be resumed
    elif is_rank_zero() and state.epoch and not state.step:
        kept.look(state.epoch, record.history)  # a kill may have come before this, and after the epoch was saved
    collapse = CollapseWatch(cfg.encoder.latent_dim, total_steps)
    first_step = state.epoch * steps_per_epoch + state.step
    maximised = "elbo/train" if objective.estimates_elbo else "objective/train"
    display = Display(trainer.epochs, steps_per_epoch, done=first_step, batch_size=batch_size, maximised=maximised)
    reading = None
    with SafePoint() as safe, display:
        for epoch in range(state.epoch, trainer.epochs):
            began = time.perf_counter()
            broadcast_random_state()
            objective.train()
            order, steps = state.shuffle(len(data.train)), range(state.step, steps_per_epoch)
            with sharded(batch_size) as own:  # this process's rows of every batch
                for batch in data.train.batches_of(order.batches(batch_size, steps, own)):
                    if safe.asked and is_rank_zero():  # without rank zero, torchrun ends the others
                        state.train_s += time.perf_counter() - began
                        save()
                        safe.leave()
                    step = epoch * steps_per_epoch + state.step
                    nan_guard.step(step)

                    elbo = forward(batch)
                    (-elbo).backward()
                    if step == first_step and is_rank_zero():
                        warn_of_unreached(objective)
                    average_gradients(optimization.parameters)
                    norm = optimization.step(step)
                    if optimization.updated:
                        objective.after_update((step + 1) / total_steps)
                        if average:
                            average.follow(objective, math.ceil((step + 1) / optimization.accumulate))

                    nan_guard.gradient(norm)
                    if step == first_step:
                        display.first_step(time.perf_counter() - began, compiled=trainer.compile)
                    state.count_step(elbo)
                    if state.step % CHECK_EVERY[device.type] == 0:
                        check_finite()
                        display.step((state.total / state.step).item())
                    else:
                        display.step()
            values = {"elbo/train": None, maximised: (state.total / steps_per_epoch).item()}
            values["gradient/norm"] = norm.item()
            state.train_s += time.perf_counter() - began
            state.end_epoch()
            if not is_rank_zero():
                continue  # rank zero evaluates, logs and saves
            check_finite()  # metrics would fail, and know no term
            values["optimizer/lr"] = optimization.rate((epoch + 1) * steps_per_epoch - 1)
            values |= described("prior", state.evaluated.prior.described())
            exploitation.look(values[maximised])
            if evaluation.metrics and ((epoch + 1) % trainer.eval_every == 0 or epoch + 1 == trainer.epochs):
                reading = evaluation.reading(state.evaluated, pairs, data, untrained)
                values |= evaluation(reading, "validation")
                collapse.look((epoch + 1) * steps_per_epoch, values, reading.explained("validation"))
                exploitation.look_at_noise(values.get("geometry/noise/validation"))
            record.scalars((epoch + 1) * steps_per_epoch, epoch + 1, values)
            display.epoch(values)
            save()
            kept.look(epoch + 1, record.history)
        if safe.asked and is_rank_zero():
            safe.leave()

    if not is_rank_zero():
        return {}

    # The last epoch's numbers: test is read here, once.
    reading = reading or evaluation.reading(state.evaluated, pairs, data, untrained)
    seen = total_steps * batch_size
    values = {}
    if evaluation.test and evaluation.metrics:
        with Stages("reading test", len(evaluation.metrics)) as stages:
            values = evaluation(reading, "test", stages.begin)
    versions = f"ssvae {ssvae_cli.__version__}, torch {torch.__version__}, torchvision {version('torchvision')}"
    summary = {
        **unread(),
        **values,
        **known(reading),
        "time/train_s": state.train_s,
        "throughput/images_per_s": seen / state.train_s if state.train_s else None,
        "seed": cfg.seed,
        "device": device_name(device),
        "versions": versions,
    }
    if evaluation.metrics:
        split = "test" if evaluation.test else "validation"
        for name, figure in [*pictures(reading, split), ("curves", curves(record.history(), summary))]:
            record.figure(name, figure, total_steps)
    write_safetensors(run / "encoder.safetensors", state.evaluated.encoder.state_dict())
    record.summary(summary, total_steps)
    record.close()
    closing_table(summary if values else record.last_validation() | summary)
    log.info("run: %s", run)
    return summary


def hyperparameters(cfg: DictConfig, choices: dict[str, str], batch_size: int) -> dict:
    """What TensorBoard's hparams table shows: the choice in each group, and every key."""
    groups = {k: v or "none" for k, v in choices.items() if not k.startswith("hydra/")}
    left_out = ("_target_", "_partial_", "resume", "trust")
    keys = {k: v for k, v in flatten(cfg).items() if k.split(".")[-1] not in left_out}
    return {
        k: v if isinstance(v, (bool, int, float, str)) else str(v)
        for k, v in (keys | groups | {"trainer.batch_size": batch_size}).items()
    }
