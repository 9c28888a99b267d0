"""Pictures of a run, as matplotlib figures."""

from matplotlib.figure import Figure
from torch import Tensor


def pair_grid(x: Tensor, x_prime: Tensor) -> Figure:
    """Views x over their partners x', [B, C, H, W] each, in [0, 1]."""
    figure = Figure(figsize=(0.6 * len(x), 1.4), layout="constrained")
    axes = figure.subplots(2, len(x), squeeze=False)
    for row, (name, views) in enumerate({"x": x, "x'": x_prime}.items()):
        axes[row, 0].set_ylabel(name, rotation=0, ha="right", va="center")
        for axis, view in zip(axes[row], views):
            axis.imshow(view.permute(1, 2, 0).squeeze(-1).clamp(0, 1).numpy(), cmap="gray", vmin=0, vmax=1)
            axis.set(xticks=[], yticks=[])
    return figure


def score_matrix(scores: Tensor) -> Figure:
    """log f(z_i, z'_j) of a batch, [B, B], nats: the diagonal holds the pairs."""
    figure = Figure(figsize=(5, 4.2), layout="constrained")
    axis = figure.subplots()
    image = axis.imshow(scores.numpy(), cmap="viridis")
    axis.set(xlabel="j", ylabel="i", title="log f(z_i, z'_j)")
    figure.colorbar(image, ax=axis, label="nats")
    return figure
