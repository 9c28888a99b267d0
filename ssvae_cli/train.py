"""`ssvae train`: one plain training loop, top to bottom.

data -> pairs -> encoder -> prior -> estimator -> ELBO; then the probes, read on test once, after the last epoch.
"""

import copy
import logging
import math
import time
from pathlib import Path

import torch
import torchvision
from omegaconf import DictConfig, OmegaConf
from safetensors.torch import save as to_safetensors

import ssvae_cli
from ssvae_cli import checkpoint, ranks
from ssvae_cli.build import build
from ssvae_cli.errors import require
from ssvae_cli.estimators.base import meaning
from ssvae_cli.evaluation.elbo import BOUNDS
from ssvae_cli.evaluation.evaluator import Evaluator
from ssvae_cli.evaluation.figures import curves
from ssvae_cli.objective import make_objective
from ssvae_cli.progress import Progress
from ssvae_cli.step import Step
from ssvae_cli.stopping import SafePoint
from ssvae_cli.tracking import Display, Tracker, closing_table
from ssvae_cli.watch import Watch

log = logging.getLogger(__name__)

CHECK_EVERY = 100  # steps between two looks at the watch on a GPU, which wait for it; a CPU looks at every step


def train(cfg: DictConfig, run: Path, choices: dict[str, str]) -> dict:
    """Train, evaluate and log one configuration into the folder `run`; returns what summary.json holds."""
    seeded = isinstance(cfg.seed, int) and not isinstance(cfg.seed, bool) and 0 <= cfg.seed < 2**63
    require(seeded, f"seed must be an integer of at least 0, got {cfg.seed!r}")

    # The parts, each from its own config node.
    trainer = build(cfg.trainer, "trainer")
    device = trainer.device
    ranks.join(device)
    torch.manual_seed(cfg.seed)
    data = build(cfg.dataset, "dataset").to(device)
    pairs = build(cfg.pairs, "pairs")
    probe = build(cfg.probe, "probe")
    pairs.attach(data)
    objective = ranks.synchronise_batch_norm(make_objective(cfg, *pairs.shapes(data)).to(device), device)
    require(
        trainer.batch_size <= len(data.train),
        f"trainer.batch_size must be at most the {len(data.train)} training images, got {trainer.batch_size}",
    )
    require(
        trainer.batch_size >= ranks.count(),
        f"trainer.batch_size must be at least the {ranks.count()} processes, got {trainer.batch_size}",
    )
    objective.prior.require_memory(trainer.batch_size, device)
    steps_per_epoch = len(data.train) // trainer.batch_size
    optimization = build(cfg.optimizer, "optimizer").attach([objective], trainer.epochs * steps_per_epoch)
    untrained = copy.deepcopy(objective)
    watch = Watch(objective, device)
    evaluator = Evaluator(objective=objective, pairs=pairs, probe=probe, data=data)
    kept = {"config": OmegaConf.to_yaml(cfg, resolve=True), "shapes": pairs.shapes(data)}
    progress = Progress(run, objective=objective, optimization=optimization, seed=cfg.seed, device=device, kept=kept)
    learn = Step(
        objective=objective, pairs=pairs, optimization=optimization, noise=progress.noise, compile=trainer.compile
    )

    if cfg.resume is not None:
        progress.load()
        log.info("resumed %s after epoch %d and %d steps of the next", run, progress.epoch, progress.step)
    tracker = Tracker(run, kept_bytes=progress.metrics_bytes, meanings=meanings(objective.estimator))

    def healthy() -> None:
        watch.check(steps_per_epoch, f"the last good checkpoint is {run / checkpoint.LAST}")

    def save() -> None:
        healthy()
        progress.save(tracker.bytes_written)

    started = progress.epoch, progress.step
    if cfg.resume is None and ranks.first():
        save()  # from here on the run can be resumed
    with SafePoint() as safe, Display(trainer.epochs, progress.epoch) as display:
        for epoch in range(progress.epoch, trainer.epochs):
            began = time.perf_counter()
            ranks.share_random_state()
            objective.train()
            shuffled = progress.shuffle(len(data.train))[: steps_per_epoch * trainer.batch_size]
            with ranks.shared(trainer.batch_size) as mine:  # this process's rows of every batch
                rows = shuffled.view(steps_per_epoch, -1)[progress.step :, mine]
                for batch in data.train.batches(rows.shape[1], rows.flatten()):
                    if safe.asked and ranks.first():  # without the first, torchrun ends the others
                        progress.train_s += time.perf_counter() - began
                        save()
                        safe.leave()
                    step = epoch * steps_per_epoch + progress.step
                    watch.step(step)
                    elbo, norm = learn(batch, step)
                    watch.gradient(norm)
                    if (epoch, progress.step) == started:
                        display.first_step(time.perf_counter() - began, compiled=trainer.compile)
                    progress.total += elbo
                    progress.step += 1
                    if device.type == "cpu" or progress.step % CHECK_EVERY == 0:
                        healthy()
            values = {"elbo/train": (progress.total / steps_per_epoch).item(), "gradient/norm": norm.item()}
            progress.train_s += time.perf_counter() - began
            progress.end_epoch()
            if not ranks.first():
                continue  # the first process evaluates, logs and saves
            values["optimizer/lr"] = optimization.rate((epoch + 1) * steps_per_epoch - 1)
            if (epoch + 1) % trainer.eval_every == 0 or epoch + 1 == trainer.epochs:
                values |= evaluator.validation()
            tracker.scalars((epoch + 1) * steps_per_epoch, epoch + 1, values)
            display.epoch(epoch + 1, values)
            save()
        if safe.asked and ranks.first():
            safe.leave()

    if not ranks.first():
        return {}

    # The last epoch's numbers: test is read here, once.
    log.info("reading test: densities, both sides of Eq. 23, probes")
    seen = trainer.epochs * steps_per_epoch * trainer.batch_size
    summary = evaluator.test() | {
        "probe/linear/random_init": evaluator.linear_probe_on_test(untrained),
        "probe/linear/pixels": evaluator.linear_probe_on_test(None),
        "time/train_s": progress.train_s,
        "throughput/images_per_s": seen / progress.train_s if progress.train_s else None,
        "data/log_n_test": math.log(len(data.test)),
        "data/mi_true": pairs.mi(data),
        "seed": cfg.seed,
        "device": torch.cuda.get_device_name() if device.type == "cuda" else "cpu",
        "versions": f"ssvae {ssvae_cli.__version__}, torch {torch.__version__}, torchvision {torchvision.__version__}",
    }
    step = trainer.epochs * steps_per_epoch
    for name, figure in [*evaluator.figures(), ("curves", curves(tracker.history(), summary))]:
        tracker.figure(name, figure, step)
    weights = {k: v.contiguous() for k, v in objective.encoder.state_dict().items()}
    checkpoint.atomic_write(run / "encoder.safetensors", lambda path: path.write_bytes(to_safetensors(weights)))
    tracker.summary(summary, hyperparameters(cfg, choices), step)
    tracker.close()
    closing_table(summary)
    log.info("run: %s", run)
    log.info("tensorboard --logdir %s", run)
    return summary


def meanings(estimator) -> dict[str, str]:
    """What the tags of the ELBO and of the bounds say of themselves."""
    of_bounds = {f"mi/{b.name}/{split}": meaning(b) for b in BOUNDS for split in ("validation", "test")}
    return of_bounds | {"elbo/train": f"{estimator.name}: {meaning(estimator)}"}


def hyperparameters(cfg: DictConfig, choices: dict[str, str]) -> dict:
    """What TensorBoard's hparams table shows: the choice in each group and the numbers people sweep."""
    groups = {k: v or "none" for k, v in choices.items() if not k.startswith("hydra/")}
    return groups | {
        "seed": cfg.seed,
        "encoder.latent_dim": cfg.encoder.latent_dim,
        "optimizer.lr": cfg.optimizer.lr,
        "trainer.batch_size": cfg.trainer.batch_size,
        "trainer.epochs": cfg.trainer.epochs,
    }
