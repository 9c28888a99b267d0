"""`ssvae finetune`: a classifier from a trained encoder: a linear head, and the whole network trained."""

import json
import logging
import math
from pathlib import Path

import torch
from omegaconf import DictConfig
from torch import nn
from torch.nn import functional as F

from ssvae_cli.distributions.seeding import seed_of_views
from ssvae_cli.errors import require, require_above, require_bool, require_integer, require_number
from ssvae_cli.evaluation.estimate import too_few_classes
from ssvae_cli.evaluation.linear_probe import log_uncommon_classes
from ssvae_cli.evaluation.rows import labelled_share
from ssvae_cli.exports.weights import described
from ssvae_cli.files import write_safetensors
from ssvae_cli.finetune.classifier import Classifier, accuracy
from ssvae_cli.instantiate.build import build
from ssvae_cli.load_run import load_run
from ssvae_cli.tracking.console import Stages, closing_table
from ssvae_cli.tracking.record import write_summary

log = logging.getLogger(__name__)
CURVE = "finetune.jsonl"  # not metrics.jsonl, which marks a run of ssvae train


def finetune(cfg: DictConfig, folder: Path, choices: dict[str, str]) -> dict:
    """Train the classifier, choose its epoch on validation, read test once; returns what summary.json holds.

    finetune.jsonl has a line an epoch; classifier.safetensors holds the chosen weights, `backbone.*` and `head.*`,
    and in its metadata what x is and the classes in the order of the head's rows.
    """
    require_settings(cfg)
    options = {"device": cfg.device, "trust": cfg.trust, "name": str(cfg.checkpoint)}
    loaded = load_run(cfg.run, dataset=cfg.dataset, in_pairs=cfg.augment, **options)
    data = loaded.data
    fault = too_few_classes({part: split.y for part, split in data.splits.items()}, "test")
    require(fault is None, f"finetune: {fault and fault.reason}")
    has_backbone = isinstance(getattr(loaded.objective.encoder, "backbone", None), nn.Module)
    require(has_backbone, f"run={cfg.run}: its encoder has no backbone to train")
    weights_below = any(True for _ in loaded.objective.encoder.backbone.parameters())
    fixed = f"run={cfg.run}: its features have no weights to train"
    require(weights_below or not cfg.encoder_lr, f"{fixed}; encoder_lr=0 trains a head on them")
    torch.manual_seed(cfg.seed)
    rows = labelled_share(data.train.y, cfg.labels, cfg.seed)
    device = next(loaded.objective.parameters()).device
    known = torch.cat([split.y for split in data.splits.values()])
    with torch.no_grad():
        features = loaded.objective.features(loaded.pairs.clean(next(data.train.batches(2))))
    model = Classifier(loaded, features.shape[1], int(known.max()) + 1).to(device)
    size = min(cfg.batch_size, len(rows))
    steps = len(rows) // size

    trained = model.parts() if cfg.encoder_lr else {"head": model.head}
    rates, updates = {"backbone.*": cfg.encoder_lr}, cfg.epochs * steps
    optimization = build(cfg.optimizer, "optimizer").attach([nn.ModuleDict(trained)], updates, of_names=rates)
    loaded.introduce(cfg.run)
    log_uncommon_classes(data, "test")
    noise = torch.Generator(device).manual_seed(seed_of_views(cfg.seed, device))
    order = torch.Generator().manual_seed(cfg.seed)

    best, weights = {"epoch": 0, "validation": accuracy(model, loaded, data.validation)}, model.weights()
    with open(folder / CURVE, "w", encoding="utf-8") as lines, Stages("epoch", cfg.epochs) as stages:
        for epoch in range(cfg.epochs):
            model.train(cfg.encoder_lr > 0)
            shuffled, total = rows[torch.randperm(len(rows), generator=order)], torch.zeros((), device=device)
            for step, batch in enumerate(data.train.batches(size, shuffled[: steps * size])):
                x = loaded.pairs(batch, noise)[0] if cfg.augment else loaded.pairs.clean(batch)
                loss = F.cross_entropy(model(x), batch.y.to(device))
                loss.backward()
                optimization.step(epoch * steps + step)
                total += loss.detach() / steps
            require(bool(total.isfinite()), "training diverged: the loss is not finite; lower optimizer.lr")
            read = accuracy(model, loaded, data.validation)
            line = {"epoch": epoch + 1, "finetune/loss/train": total.item(), "finetune/accuracy/validation": read}
            lines.write(json.dumps(line) + "\n")
            lines.flush()
            stages.begin(f"loss {total.item():.3f}, accuracy on validation {read:.4f}")
            if read > best["validation"]:
                best, weights = {"epoch": epoch + 1, "validation": read}, model.weights()
    model.restore(weights)
    summary = {
        "finetune/accuracy/test": accuracy(model, loaded, data.test),
        "finetune/accuracy/validation": best["validation"],
        "finetune/epoch": best["epoch"],
        "finetune/labels": len(rows),
        "seed": cfg.seed,
    }
    classes = data.classes or [str(code) for code in range(model.head.out_features)]
    metadata = {name: json.dumps(value) for name, value in (described(loaded) | {"classes": classes}).items()}
    write_safetensors(folder / "classifier.safetensors", weights, metadata)
    write_summary(folder, summary)
    closing_table(summary)
    log.info("finetuned %s into %s", cfg.run, folder)
    return summary


def require_settings(cfg: DictConfig) -> None:
    """Raise UserError for settings that no classifier can be trained with."""
    require_integer(1, epochs=cfg.epochs)
    require_integer(2, batch_size=cfg.batch_size)
    require_number(0, 1, labels=cfg.labels)
    require_above(0, labels=cfg.labels)
    require_number(0, math.inf, encoder_lr=cfg.encoder_lr)
    require_bool(augment=cfg.augment)
