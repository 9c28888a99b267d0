"""The pictures of a run, read as one sees them.

1. No line of curves.png is hidden under another, even where they coincide, and no legend covers a line.
2. The ceiling of a bound is drawn, inside the picture.
3. Axes say what they are, and classes are told apart without colours.
"""

import numpy as np
import pytest
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb

from ssvae_cli.evaluation.estimate import Estimate
from ssvae_cli.evaluation.figures import curves, latents, score_matrix
from ssvae_cli.mi.pictures import estimates
from ssvae_cli.mi.problem import Reading
from ssvae_cli.mi.recommend import Line, Recommended
from ssvae_cli.tracking.png import DPI

SAME = ("elbo/train", "elbo/validation", "mi/dv/validation", "mi/infonce/validation", "mi/nwj/validation")
PROBES = ("probe/knn/validation", "probe/linear/validation")
CEILING = "mi/infonce/ceiling/validation"


def coinciding(epochs: int) -> list[dict]:
    """A history in which all lines of a panel are one."""
    values = [{name: 1.0 + epoch / 10 for name in SAME} | dict.fromkeys(PROBES, 0.9) for epoch in range(epochs)]
    return [{"epoch": epoch + 1, CEILING: 5.3, "mi/dv/ceiling/validation": None} | v for epoch, v in enumerate(values)]


@pytest.mark.parametrize("epochs", [2, 30])
def test_every_line_is_seen_where_all_coincide(epochs):
    figure = curves(coinciding(epochs), {})
    figure.set_dpi(DPI)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    pixels = np.asarray(canvas.buffer_rgba())[:, :, :3].astype(int)
    for axis in figure.axes:
        box = axis.get_window_extent()
        inside = pixels[int(pixels.shape[0] - box.y1) : int(pixels.shape[0] - box.y0), int(box.x0) : int(box.x1)]
        for line in axis.get_lines():
            colour = 255 * np.array(to_rgb(line.get_color()))
            columns = (np.abs(inside - colour).max(2) < 40).any(0)
            assert columns.mean() > 0.25, line.get_label()  # along the line, and not at its markers alone


def test_the_ceiling_is_drawn_inside_the_picture_and_so_is_the_true_information():
    nats = curves(coinciding(5), {"data/mi_true": 4.0}).axes[0]
    levels = {line.get_label(): line.get_ydata()[0] for line in nats.get_lines() if " " in line.get_label()}
    assert levels == {f"{CEILING} 5.300": 5.3, "data/mi_true 4.000": 4.0}
    assert nats.get_ylim()[0] < 1.0 and nats.get_ylim()[1] > 5.3


def test_no_legend_covers_a_panel():
    figure = curves(coinciding(30), {f"probe/linear/{name}": 0.9 for name in ("test", "random_init", "pixels")})
    figure.draw_without_rendering()
    for axis in figure.axes:
        legend = axis.get_legend().get_window_extent()
        assert not legend.overlaps(axis.get_window_extent()) and legend.y0 >= 0
        assert len(axis.get_legend().get_texts()) == len(axis.get_lines())


def test_axes_say_what_they_are():
    figures = [curves(coinciding(2), {}), latents(torch.randn(30, 4), torch.arange(30) % 3, ("a", "b", "c"), "test")]
    axes = [axis for figure in [*figures, score_matrix(torch.randn(4, 4))] for axis in figure.axes]
    assert all(axis.get_xlabel() and axis.get_ylabel() for axis in axes[:-1])
    assert axes[-1].get_ylabel() == "nats"  # the colour bar's


def test_classes_are_told_apart_without_colours():
    plane = latents(torch.randn(40, 4), torch.arange(40) % 10, tuple("abcdefghij"), "test").axes[0]
    shapes = {str(dots.get_paths()[0].vertices.round(3).tolist()) for dots in plane.collections}
    assert len(shapes) == 10


def test_the_parts_of_the_elbo_have_a_panel_where_they_were_read():
    parts = {"mi/fresh/validation": 3.0, "kl/validation": 1.0}
    history = [line | parts for line in coinciding(3)]
    nats, split, probes = curves(history, {}).axes
    labels = {line.get_label() for line in split.get_lines()}
    assert labels == {"elbo/validation", *parts} and not set(parts) & {line.get_label() for line in nats.get_lines()}
    assert split.get_ylabel() == "nats" and probes.get_ylabel() == "accuracy"


@pytest.mark.parametrize("labels, named", [(3, ["no label", "0", "1"]), (60, [])])
def test_classes_without_a_name_are_called_by_their_labels_in_a_legend_of_few(labels, named):
    legend = latents(torch.randn(90, 4), torch.arange(90) % labels - 1, (), "test").axes[0].get_legend()
    assert [text.get_text() for text in legend.get_texts()] == named if named else legend is None


def test_the_spectrum_has_no_axis_that_so_few_samples_cannot_span():
    """Five centred points span four axes: a fifth would be the rounding of 0, and stretch the scale of the others."""
    spectrum = latents(torch.randn(5, 8), torch.zeros(5, dtype=torch.long), (), "test").axes[1]
    values = spectrum.get_lines()[0].get_ydata()
    assert len(values) == 4 and min(values) > 1e-6


@pytest.mark.parametrize("ceiling, said", [(1.2, "Estimates (thick bar: ceiling)"), (9.0, "Estimates")])
def test_a_title_tells_of_ceilings_where_one_is_drawn(ceiling, said):
    reading = Reading(Estimate(1.0, 0.1))
    line = Line("infonce", "lower bound", ceiling, reading, None)
    figure = estimates([line], Recommended(1.0, 0.8, 1.2, "one"), None, "nats")
    assert figure.axes[1].get_title() == said
