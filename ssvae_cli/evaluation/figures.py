"""Pictures of a run, as matplotlib figures."""

from collections.abc import Iterator

import numpy as np
import torch
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from torch import Tensor

from ssvae_cli.evaluation.reading import Reading

MOST_NAMED = 20  # classes in a legend
SHOWN_PAIRS = 16
SHOWN_SCORES = 64


@torch.no_grad()
def pictures(reading: Reading) -> Iterator[tuple[str, Figure]]:
    """A grid of validation pairs; their scores, if the prior has a critic; the latents of test."""
    objective, generator = reading.objective.eval(), reading.generator()
    views = reading.pairs(next(reading.data.validation.batches(SHOWN_SCORES)), generator)
    yield "pairs", pair_grid(*(reading.pairs.to_unit(view[:SHOWN_PAIRS]).cpu() for view in views))
    scores = objective.prior.score_table(objective.encode(*views, generator).latents)
    if scores is not None:
        yield "scores", score_matrix(scores.cpu())
    yield "latents", latents(reading.latents("test")[0].cpu(), reading.labels("test").cpu(), reading.data.classes)


def pair_grid(x: Tensor, x_prime: Tensor) -> Figure:
    """Views x above their partners x', [B, ...] each: images in [0, 1]; videos from top to bottom; else line plots."""
    stack_frames = lambda views: views.transpose(1, 2).flatten(2, 3) if views.ndim == 5 else views  # [B, C, T * H, W]
    sides = {"x": stack_frames(x), "x'": stack_frames(x_prime)}
    heights = [views.shape[2] / views.shape[3] if views.ndim == 4 else 1.0 for views in sides.values()]
    figure = Figure(figsize=(0.6 * len(x), 0.58 * sum(heights) + 0.15), layout="constrained")
    grid = figure.add_gridspec(2, len(x), height_ratios=heights)
    for row, (name, views) in enumerate(sides.items()):
        if views.ndim == 4:  # one axis for all images: one axis per image would take a second to draw
            axes = [figure.add_subplot(grid[row, :])]
            axes[0].imshow(_side_by_side(views), cmap="gray", vmin=0, vmax=1)
            axes[0].spines[:].set_visible(False)
        else:
            axes = [figure.add_subplot(grid[row, i]) for i in range(len(views))]
            for axis, view in zip(axes, views):
                axis.plot(view.reshape(len(view), -1).numpy(), lw=0.7)
                axis.set_ylim(views.min().item() - 0.1, views.max().item() + 0.1)
        for axis in axes:
            axis.set(xticks=[], yticks=[])
        axes[0].set_ylabel(name, rotation=0, ha="right", va="center")
    return figure


def _side_by_side(views: Tensor) -> np.ndarray:
    """Images, [B, C, H, W], with white gaps between them: [H, B * (W + gap), 3] in colour, else the first channel."""
    shown = views if views.shape[1] == 3 else views[:, :1]
    framed = torch.nn.functional.pad(shown.clamp(0, 1), (0, max(1, views.shape[3] // 12)), value=1.0)
    return framed.permute(2, 0, 3, 1).flatten(1, 2).squeeze(-1).numpy()


def score_matrix(scores: Tensor) -> Figure:
    """log f(z_i, z'_j) of a batch, [B, B], nats: the positive pairs are on the diagonal."""
    figure = Figure(figsize=(5, 4.2), layout="constrained")
    axis = figure.subplots()
    image = axis.imshow(scores.numpy(), cmap="viridis")
    axis.set(xlabel="j", ylabel="i", title="log f(z_i, z'_j)")
    figure.colorbar(image, ax=axis, label="nats")
    return figure


def latents(z: Tensor, y: Tensor, classes: tuple[str, ...]) -> Figure:
    """z, [N, D], on its first two principal axes, coloured by label, and the spectrum of its covariance."""
    figure = Figure(figsize=(9, 3.8), layout="constrained")
    plane, spectrum = figure.subplots(1, 2)
    centred = (z - z.mean(0)).double()
    axes, values, _ = torch.linalg.svd(centred.T, full_matrices=False)
    points = centred @ axes[:, :2]
    points = points if points.shape[1] == 2 else torch.cat([points, torch.zeros_like(points)], 1)
    for label in y.unique().tolist():
        name = classes[label] if 0 <= label < len(classes) else "no label"
        plane.scatter(*points[y == label].T, s=6, label=name if len(classes) <= MOST_NAMED else None)
    plane.set(xlabel="first principal axis", ylabel="second", title="z of test")
    if len(classes) <= MOST_NAMED:
        plane.legend(fontsize=6, markerscale=2, loc="center left", bbox_to_anchor=(1, 0.5))
    variance = values**2 / max(1, len(z) - 1)
    spectrum.semilogy(range(1, len(variance) + 1), variance.clamp_min(1e-300), marker=".")
    spectrum.set(xlabel="principal axis", ylabel="variance", title="spectrum of z")
    spectrum.grid(alpha=0.3)
    return figure


def curves(history: list[dict], summary: dict) -> Figure:
    """Left the ELBO and the bounds of I, right the probes, over the epochs of metrics.jsonl; baselines are dashed."""
    figure = Figure(figsize=(9, 3.4), layout="constrained")
    nats, accuracy = figure.subplots(1, 2)
    for name in sorted({key for line in history for key in line}):
        group, split = name.split("/")[0], name.split("/")[-1]
        axis = {"elbo": nats, "mi": nats, "probe": accuracy}.get(group)
        points = [(line["epoch"], line[name]) for line in history if line.get(name) is not None]
        if axis is None or "/ceiling/" in name or split not in ("train", "validation") or not points:
            continue
        axis.plot(*zip(*points), marker="." if len(points) < 10 else None, label=name, lw=2 if group == "elbo" else 1)
    elbos = [line.get(f"elbo/{split}") for line in history for split in ("train", "validation")]
    shown = [value for value in (*elbos, summary.get("data/mi_true")) if value is not None]
    if summary.get("data/mi_true") is not None:
        _level(nats, "data/mi_true", summary["data/mi_true"])
    if shown:  # sets the limits: a bound far below would flatten the other curves
        margin = 0.15 * (max(shown) - min(shown)) + 0.1
        nats.set_ylim(min(shown) - margin, max(shown) + margin)
        for line in nats.get_lines():
            if max(line.get_ydata()) < min(shown) - margin:
                line.set_label(f"{line.get_label()}, below")
    nats.set(xlabel="epoch", ylabel="nats", title="ELBO and bounds of I")
    levels = {name: summary.get(f"probe/linear/{name}") for name in ("test", "random_init", "pixels")}
    known = sorted((value, f"probe/linear/{name}") for name, value in levels.items() if value is not None)
    for i, (value, name) in enumerate(known):  # the lowest has its label below the line, as the next line may be close
        _level(accuracy, name, value, above=i > 0 or len(known) == 1)
    accuracy.set(xlabel="epoch", ylabel="accuracy", title="Probes")
    for axis in (nats, accuracy):
        if axis.has_data():
            if axis.get_legend_handles_labels()[1]:  # no epoch, no curve
                axis.legend(fontsize=7)
            axis.grid(alpha=0.3)
            axis.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1, steps=[1, 2, 5, 10]))
        else:  # data without labels have no probes
            axis.remove()
            nats.set_subplotspec(figure.add_gridspec(1, 1)[0])
    return figure


def _level(axis, name: str, value: float, above: bool = True) -> None:
    """A dashed horizontal line, with its name and value above or below it."""
    axis.axhline(value, ls="--", lw=1, color="0.5")
    style = {"xycoords": ("axes fraction", "data"), "fontsize": 7, "va": "bottom" if above else "top", "ha": "right"}
    axis.annotate(f"{name} {value:.3f}", (0.98, value), **style)
