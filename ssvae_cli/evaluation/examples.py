"""Pictures of single samples, for `ssvae eval`: nearest neighbours of test images, recovered against true factors."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ssvae_cli.datasets.base import Split, evenly_spaced
from ssvae_cli.device import floats
from ssvae_cli.errors import require
from ssvae_cli.evaluation.factors import ALPHAS, fault_of, is_of, ridge
from ssvae_cli.evaluation.figures import in_a_grid, scatter_by_label, side_by_side
from ssvae_cli.evaluation.reading import SPLITS, Reading
from ssvae_cli.tracking.line_styles import blank

if TYPE_CHECKING:
    from matplotlib.figure import Figure

QUERIES, NEIGHBOURS = 8, 8
MOST_FACTORS, MOST_POINTS = 9, 1000
LEAST_FOR_UMAP = 16


@torch.no_grad()
def examples(reading: Reading) -> Iterator[tuple[str, "Figure"]]:
    """Of images, some of test with the training images nearest to them; of data with known numbers, those numbers
    against what z predicts."""
    if len(reading.shape) == 3:
        yield "neighbours", neighbours(reading)
    columns = reading.data.factors
    known = {part: reading.factors(part) for part in SPLITS} if columns else {}
    numbers = [i for i, factor in enumerate(columns) if is_of("r2", factor) and not fault_of(known, i, factor)]
    if numbers:
        yield "factors", recovered(reading, known, numbers[:MOST_FACTORS])


def umap_plane(reading: Reading) -> "Figure":
    """z of test, [N, D], in the plane of UMAP (McInnes et al. 2018), coloured by label."""
    import umap

    z = reading.latents("test")[0].cpu().numpy()
    require(len(z) >= LEAST_FOR_UMAP, f"umap=true needs at least {LEAST_FOR_UMAP} samples of test, got {len(z)}")
    points = torch.from_numpy(umap.UMAP(random_state=0, n_jobs=1).fit_transform(z))
    figure = blank(figsize=(5.5, 4))
    axis = figure.subplots()
    scatter_by_label(axis, points, reading.labels("test").cpu(), reading.data.classes)
    axis.set(xlabel="first coordinate of UMAP", ylabel="second coordinate of UMAP", title="z of test by UMAP")
    return figure


def neighbours(reading: Reading) -> "Figure":
    """A row for each of some test images: the image, then the training images nearest by cosine of features."""
    features = {part: F.normalize(reading.features(part)) for part in ("train", "test")}
    queries = evenly_spaced(len(features["test"]), QUERIES, features["test"].device)
    similarity = features["test"][queries] @ features["train"].T
    nearest = similarity.topk(min(NEIGHBOURS, similarity.shape[1]), dim=1).indices
    images = torch.cat([_images(reading, "test", queries)[:, None], _images(reading, "train", nearest)], 1)
    height, width = images.shape[-2:]
    gap = max(1, width // 12)
    rows = [side_by_side(F.pad(shown, (0, 0, 0, gap), value=1.0)) for shown in images]
    figure = blank(figsize=(0.6 * images.shape[1], 0.6 * len(images) * height / width + 0.4))
    axis = figure.subplots()  # one for all images: one axis per image would take a second to draw
    axis.imshow(np.concatenate(rows), cmap="gray", vmin=0, vmax=1)
    axis.axvline(width + gap / 2 - 0.5, color="tab:orange", lw=2)
    axis.set(xticks=[], yticks=[])
    axis.set_title("an image of test | the nearest of train, by cosine of features", fontsize=9)
    axis.spines[:].set_visible(False)
    return figure


def _images(reading: Reading, split: str, rows: Tensor) -> Tensor:
    """Those images as probes read them, in [0, 1], [*rows.shape, C, H, W], on the CPU; the whole image where they read
    its patches, and a grid of the steps that they read of a video."""
    batches = reading.data.splits[split].rows(rows.flatten().cpu()).batches(len(rows.flatten()))
    return torch.cat([_as_read(reading, batch) for batch in batches]).cpu().unflatten(0, rows.shape)


def _as_read(reading: Reading, batch: Split) -> Tensor:
    """[N, C, H, W]."""
    images = reading.pairs.to_unit(reading.pairs.clean(batch))
    if images.ndim == 4:
        return images
    return floats(batch.x) / 255 if batch.x.ndim == 4 else in_a_grid(images)


def recovered(reading: Reading, known: dict[str, Tensor], numbers: list[int]) -> "Figure":
    """For each factor, what ridge regression from z predicts on test, against its true value."""
    train, test = (known[part][:, numbers].double().cpu().numpy() for part in ("train", "test"))
    z, z_test = (reading.codes(part).double().cpu().numpy() for part in ("train", "test"))
    predicted = ridge(ALPHAS).fit(z, train).predict(z_test).reshape(test.shape)
    side = min(3, len(numbers))
    figure = blank(figsize=(3 * side, 2.8 * -(-len(numbers) // side)))
    shown = evenly_spaced(len(test), MOST_POINTS).numpy()
    for place, column in enumerate(numbers):
        axis = figure.add_subplot(-(-len(numbers) // side), side, place + 1)
        axis.scatter(test[shown, place], predicted[shown, place], s=6, lw=0, alpha=0.6)
        ends = test[:, place].min(), test[:, place].max()
        axis.plot(ends, ends, color="0.3", lw=1, ls="--")
        axis.set(title=reading.data.factors[column].name, xlabel="true value", ylabel="predicted from z")
    return figure
