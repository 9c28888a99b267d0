"""Pictures of a run, as matplotlib figures."""

import itertools
import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from ssvae_cli.datasets.base import class_name
from ssvae_cli.evaluation.reading import Reading
from ssvae_cli.pairs.base import without_times
from ssvae_cli.tracking.line_styles import blank, draw, nested_widths, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_NAMED = 20  # labels in a legend
SHOWN_PAIRS = 16
SHOWN_SCORES = 64
PARTS = ("mi/fresh/validation", "kl/validation")  # of the ELBO: ELBO = I - KL
LEVELS = ((0, (6, 3)), (0, (2, 2)), (0, (8, 2, 1.5, 2)), (0, (1, 1)))  # dashes of horizontal lines, in turn


@torch.no_grad()
def pictures(reading: Reading, split: str) -> Iterator[tuple[str, "Figure"]]:
    """A grid of validation pairs; their scores, if the prior has a critic; the latents of a split."""
    objective, generator = reading.objective.eval(), reading.generator("validation")
    views = reading.pairs(next(reading.data.validation.batches(SHOWN_SCORES)), generator)
    shown, _ = without_times(views, reading.pairs.times)
    yield "pairs", pair_grid(*(reading.pairs.to_unit(view[:SHOWN_PAIRS]).cpu() for view in shown))
    scores = objective.prior.score_table(objective.encode(*views, generator=generator).latents)
    if scores is not None:
        yield "scores", score_matrix(scores.cpu())
    yield "latents", latents(reading.latents(split)[0].cpu(), reading.labels(split).cpu(), reading.data.classes, split)


def pair_grid(*views: Tensor) -> "Figure":
    """Views x above their partners x', or n views from top to bottom, [B, ...] each: images in [0, 1]; videos from top
    to bottom; else line plots."""
    stack_frames = lambda views: views.transpose(1, 2).flatten(2, 3) if views.ndim == 5 else views  # [B, C, T * H, W]
    names = ["x", "x'"] if len(views) == 2 else [f"x{i + 1}" for i in range(len(views))]
    x, sides = views[0], dict(zip(names, map(stack_frames, views)))
    heights = [views.shape[2] / views.shape[3] if views.ndim == 4 else 1.0 for views in sides.values()]
    figure = blank(figsize=(0.6 * len(x), 0.58 * sum(heights) + 0.15))
    grid = figure.add_gridspec(len(sides), len(x), height_ratios=heights)
    for row, (name, views) in enumerate(sides.items()):
        if views.ndim == 4:  # one axis for all images: one axis per image would take a second to draw
            axes = [figure.add_subplot(grid[row, :])]
            axes[0].imshow(side_by_side(views), cmap="gray", vmin=0, vmax=1)
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


def in_a_grid(images: Tensor) -> Tensor:
    """Several images of each sample, [N, steps, C, h, w], from left to right and downwards in one, [N, C, H, W], white
    where none is left."""
    columns = math.isqrt(images.shape[1] - 1) + 1
    white = images.new_ones(len(images), -images.shape[1] % columns, *images.shape[2:])
    grid = torch.cat([images, white], 1).unflatten(1, (-1, columns))
    return grid.permute(0, 3, 1, 4, 2, 5).flatten(4).flatten(2, 3)


def side_by_side(views: Tensor) -> np.ndarray:
    """Images, [B, C, H, W], with white gaps between them: [H, B * (W + gap), 3] in colour, else the first channel."""
    shown = views if views.shape[1] == 3 else views[:, :1]
    framed = torch.nn.functional.pad(shown.clamp(0, 1), (0, max(1, views.shape[3] // 12)), value=1.0)
    return framed.permute(2, 0, 3, 1).flatten(1, 2).squeeze(-1).numpy()


def score_matrix(scores: Tensor) -> "Figure":
    """log f(z_i, z'_j) of a batch, [B, B], nats: the positive pairs are on the diagonal."""
    figure = blank(figsize=(5, 4.2))
    axis = figure.subplots()
    image = axis.imshow(scores.numpy(), cmap="viridis")
    axis.set(xlabel="j, of z' in the batch", ylabel="i, of z in the batch", title="log f(z_i, z'_j)")
    figure.colorbar(image, ax=axis, label="nats")
    return figure


def latents(z: Tensor, y: Tensor, classes: tuple[str, ...], split: str) -> "Figure":
    """z, [N, D], on its first two principal axes, coloured by label, and the spectrum of its covariance."""
    figure = blank(figsize=(9, 3.8))
    plane, spectrum = figure.subplots(1, 2)
    centred = (z - z.mean(0)).double()
    axes, values, _ = torch.linalg.svd(centred.T, full_matrices=False)
    points = centred @ axes[:, :2]
    points = points if points.shape[1] == 2 else torch.cat([points, torch.zeros_like(points)], 1)
    scatter_by_label(plane, points, y, classes)
    plane.set(xlabel="first principal axis of z", ylabel="second principal axis of z", title=f"z of {split}")
    freedom = max(1, len(z) - 1)  # N centred points span no more axes
    variance = values[:freedom] ** 2 / freedom
    spectrum.semilogy(range(1, len(variance) + 1), variance.clamp_min(1e-300), marker=".")
    spectrum.set(xlabel="principal axis of z", ylabel="variance of z along it", title="spectrum of z")
    spectrum.yaxis.set_major_formatter("{x:g}")  # to load what typesets powers of ten takes a quarter of a second
    spectrum.grid(alpha=0.3)
    return figure


def scatter_by_label(axis: "Axes", points: Tensor, y: Tensor, classes: tuple[str, ...]) -> None:
    """Points of a plane, [N, 2], in the colour and with the marker of their label; a legend of few labels."""
    labels = y.unique().tolist()
    named = len(labels) <= MOST_NAMED
    for i, label in enumerate(labels):
        look = {"color": style(i)["color"], "marker": style(i)["marker"]}
        axis.scatter(*points[y == label].T, s=9, lw=0, label=class_name(label, classes) if named else None, **look)
    if named:
        axis.legend(fontsize=6, markerscale=2, loc="center left", bbox_to_anchor=(1, 0.5))


def curves(history: list[dict], summary: dict) -> "Figure":
    """The ELBO and the bounds of I, the ELBO's parts where they were read, and the probes, over the epochs of
    metrics.jsonl. Where lines coincide, each shows as a rim of the next. Horizontal lines are dashed: the ceiling of a
    bound, the true I, what a probe compares with."""
    from matplotlib.ticker import MaxNLocator

    names = sorted({key for line in history for key in line if key.split("/")[-1] in ("train", "validation")})
    of = lambda name: [(line["epoch"], line[name]) for line in history if line.get(name) is not None]
    shown = {name: of(name) for name in names if "/ceiling/" not in name and of(name)}
    split = [name for name in ("elbo/validation", *PARTS) if name in shown] if set(PARTS) & set(shown) else []
    figure = blank(figsize=(13.5 if split else 9, 4.4))
    nats, *parts, accuracy = figure.subplots(1, 3 if split else 2)
    of_groups = lambda *groups: [name for name in shown if name.split("/")[0] in groups and name not in PARTS]
    for axis, panel in zip((nats, accuracy, *parts), (of_groups("elbo", "mi"), of_groups("probe"), split)):
        lines = {name: shown[name] for name in panel}
        for i, ((name, points), width) in enumerate(zip(lines.items(), nested_widths(len(lines)))):
            draw(axis, *zip(*points), number=i, of=len(lines), label=name, width=width)
    ceilings = {name: of(name)[-1][1] for name in names if "/ceiling/" in name and of(name)}
    levels = ceilings | ({} if summary.get("data/mi_true") is None else {"data/mi_true": summary["data/mi_true"]})
    _levels(nats, levels)
    elbos = [value for name, points in shown.items() if name.startswith("elbo/") for _, value in points]
    if limits := [*elbos, *levels.values()]:  # a bound far below would flatten the other curves
        margin = 0.05 * (max(limits) - min(limits)) + 0.1
        nats.set_ylim(min(limits) - margin, max(limits) + margin)
        for line in nats.get_lines():
            if max(line.get_ydata()) < min(limits) - margin:
                line.set_label(f"{line.get_label()}, below")
    nats.set(xlabel="epoch", ylabel="ELBO and bounds of I, nats", title="ELBO and bounds of I")
    probes = {f"probe/linear/{name}": summary.get(f"probe/linear/{name}") for name in ("test", "random_init", "pixels")}
    _levels(accuracy, {name: value for name, value in probes.items() if isinstance(value, float)})
    accuracy.set(xlabel="epoch", ylabel="accuracy", title="Probes")
    for axis in parts:
        axis.set(xlabel="epoch", ylabel="nats", title="ELBO = I - KL (Eq. 23)")
    for axis in (nats, *parts, accuracy):
        if axis.has_data():
            if axis.get_legend_handles_labels()[1]:  # no epoch, no curve
                look = {"fontsize": 7, "frameon": False, "handlelength": 4, "ncols": 2}
                axis.legend(loc="upper center", bbox_to_anchor=(0.5, -0.15), **look)
            axis.grid(alpha=0.3)
            axis.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1, steps=[1, 2, 5, 10]))
        else:  # data without labels have no probes
            axis.remove()
            nats.set_subplotspec(figure.add_gridspec(1, 1)[0])
    return figure


def _levels(axis: "Axes", levels: dict[str, float]) -> None:
    """Dashed horizontal lines, with their values in the legend, where they cannot cover each other."""
    for (name, value), dashes in zip(levels.items(), itertools.cycle(LEVELS)):
        axis.axhline(value, ls=dashes, lw=1.2, color="0.25", label=f"{name} {value:.3f}")
