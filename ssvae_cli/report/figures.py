"""The figures of a section: curves over the epochs, every seed of the main metrics, one metric against another."""

import io
import textwrap
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.scale import SymmetricalLogScale
from matplotlib.ticker import MaxNLocator, ScalarFormatter

from ssvae_cli.errors import counted
from ssvae_cli.files import atomic_write, write_text
from ssvae_cli.report.comparison import Estimate
from ssvae_cli.report.settings import Section, Setting
from ssvae_cli.tracking.line_styles import draw, style
from ssvae_cli.tracking.names import unit

WIDTH = 7.0  # inches
ROW = 0.19  # inches of a line of a legend
LINE, LETTERS = 0.15, 44  # inches, and letters, of a line of a label left of the axes
LETTERS = 100  # of a line of a legend in a figure of this width
BANDS = 12  # curves up to which their spread is drawn as a band
WIDE = 20.0  # nats between means above which an axis is logarithmic
Lines = list[tuple[Setting, list[tuple[int, Estimate]]]]  # settings with a mean for each epoch
SVG = {"svg.fonttype": "none", "svg.hashsalt": "ssvae", "pdf.fonttype": 42}  # text stays text; the same file each time


@dataclass(frozen=True)
class Picture:
    """A figure. name: of its files. alt: what it shows, for those who do not see it."""

    name: str
    title: str
    alt: str
    figure: Figure

    def write(self, folder: Path) -> str:
        """<name>.svg and <name>.pdf into a folder; the SVG's text."""
        drawn, about = io.StringIO(), {"Title": self.title}
        with matplotlib.rc_context(SVG), warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Glyph .* missing")  # text of the SVG is drawn by its reader's fonts
            self.figure.savefig(drawn, format="svg", metadata=about | {"Date": None, "Description": self.alt})
            self.figure.set_layout_engine("none")  # it stays as it is, and is not computed again
            save = lambda path: self.figure.savefig(path, format="pdf", metadata=about | {"CreationDate": None})
            atomic_write(folder / f"{self.name}.pdf", save)
        write_text(folder / f"{self.name}.svg", drawn.getvalue())
        return drawn.getvalue()


def pictures(section: Section, name: str, curves: list[str], metrics: list[str], spread: str) -> Iterator[Picture]:
    """The figures of a section. name: that its files begin with. curves: metrics that are drawn over the epochs.
    metrics: of which every seed is drawn, and the second against the first."""
    for metric in curves:
        lines = [(setting, points) for setting in section.settings if (points := setting.curve(metric))]
        if lines:
            title = f"{metric} over the epochs, {section.title}"
            alt = f"{title}: {ends(lines)}."
            yield Picture(f"{name}-{slug(metric)}", title, alt, curves_of(metric, lines, spread))
    drawn = [metric for metric in metrics if any(setting.of(metric) for setting in section.settings)]
    if drawn:
        title = f"{' and '.join(drawn)} by setting, {section.title}"
        alt = f"{title}: {of_settings(section.settings)}, a line for each seed, a marker for the mean."
        yield Picture(f"{name}-seeds", title, alt, by_seed(section.settings, drawn, spread))
    both = [setting for setting in section.settings if all(setting.of(metric) for metric in drawn)]
    if len(drawn) > 1 and len(both) > 1:
        x, y = drawn[:2]
        title = f"{y} against {x}, {section.title}"
        alt = f"{title}: {of_settings(both)}; numbers as in the table."
        yield Picture(f"{name}-against", title, alt, against(both, x, y, spread))


def slug(text: str) -> str:
    """Letters safe in a file's name."""
    return "-".join("".join(c if c.isascii() and c.isalnum() else " " for c in text).split()).lower() or "figure"


def ends(lines: Lines) -> str:
    """Where the curves end, in words."""
    last = sorted((points[-1][1].mean, setting.label) for setting, points in lines)
    said = [f"{label} at {mean:.3g}" for mean, label in last]
    epochs = max(epoch for _, points in lines for epoch, _ in points)
    extremes = f"highest at the end {said[-1]}, lowest {said[0]}" if len(said) > 1 else f"at the end {said[0]}"
    return f"{of_settings(lines)}, {counted(epochs, 'epoch')}, {extremes}"


def of_settings(settings: Sequence) -> str:
    """Their number, in words."""
    return counted(len(settings), "setting")


def curves_of(metric: str, lines: Lines, spread: str) -> Figure:
    """Means over seeds, with a band of one spread where there are few settings, over the epochs."""
    figure, axis = canvas([setting for setting, _ in lines], 3.6)
    for setting, points in lines:
        epochs, means = [epoch for epoch, _ in points], [e.mean for _, e in points]
        line = draw(axis, epochs, means, number=setting.number, of=len(lines), label=plain(setting.label))
        if len(lines) > BANDS:
            continue
        low, high = ([e.mean + sign * (getattr(e, spread) or 0.0) for _, e in points] for sign in (-1, 1))
        axis.fill_between(epochs, low, high, alpha=0.15, color=line.get_color(), lw=0)
    axis.set(xlabel="epoch", ylabel=named(metric))
    axis.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1, steps=[1, 2, 5, 10]))
    spread_out(axis.yaxis, [e.mean for _, points in lines for _, e in points])
    legend(figure, axis)
    return figure


def by_seed(settings: tuple[Setting, ...], metrics: list[str], spread: str) -> Figure:
    """One panel for each metric: settings from top to bottom, seeds as small lines, the mean with its spread."""
    labels = [textwrap.wrap(plain(setting.label), LETTERS) for setting in settings]
    row = max(0.3, LINE * max(map(len, labels)))
    figure = Figure(figsize=(WIDTH, 1.0 + row * len(settings)), layout="constrained")
    panels = figure.subplots(1, len(metrics), sharey=True, squeeze=False)[0]
    for axis, metric in zip(panels, metrics):
        known = [(row, setting, e) for row, setting in enumerate(settings) if (e := setting.of(metric))]
        seeds = [(value, row, setting) for row, setting, _ in known for value in setting.by_seed(metric).values()]
        values, rows, owners = zip(*seeds)
        height, colours = 0.22, [colour(setting) for setting in owners]
        axis.vlines(values, [row - height for row in rows], [row + height for row in rows], colours, lw=1, alpha=0.7)
        rows, owners, means = zip(*known)
        markers(axis, owners, [e.mean for e in means], rows, xerr=[getattr(e, spread) or 0.0 for e in means])
        axis.set(xlabel=named(metric))
        spread_out(axis.xaxis, [e.mean for e in means])
        axis.grid(alpha=0.3)
    panels[0].set_yticks(range(len(settings)), map("\n".join, labels), fontsize=8)
    panels[0].set_ylim(len(settings) - 0.5, -0.5)
    return figure


def against(settings: list[Setting], x: str, y: str, spread: str) -> Figure:
    """One metric against another, with the spread of both."""
    figure, axis = canvas(settings, 3.8)
    estimates = [[setting.of(metric) for setting in settings] for metric in (x, y)]
    means = [[e.mean for e in of_metric] for of_metric in estimates]
    xerr, yerr = ([getattr(e, spread) or 0.0 for e in of_metric] for of_metric in estimates)
    markers(axis, settings, *means, xerr=xerr, yerr=yerr)
    axis.set(xlabel=named(x), ylabel=named(y))
    for side, values in zip((axis.xaxis, axis.yaxis), means):
        spread_out(side, values)
    legend(figure, axis)
    return figure


def markers(axis: Axes, settings: Sequence[Setting], x: Sequence[float], y: Sequence[float], **errors) -> None:
    """Each setting's marker with its error bars; these are one artist, as drawing is what takes time."""
    axis.errorbar(x, y, **errors, fmt="none", ecolor=[colour(setting) for setting in settings], elinewidth=1)
    for setting, *place in zip(settings, x, y):
        look = style(setting.number)
        axis.plot(*place, look["marker"], ms=6, color=look["color"], label=plain(setting.label))


def colour(setting: Setting) -> str:
    return style(setting.number)["color"]


def named(metric: str) -> str:
    """A metric as an axis says it, with its unit."""
    words = unit(metric) or ("accuracy" if metric.startswith("probe/") else "")
    return f"{metric}, {words}" if words else metric


def plain(label: str) -> str:
    """A label in which matplotlib reads no mathematics."""
    return label.replace("$", r"\$")


def canvas(settings: list[Setting], height: float) -> tuple[Figure, Axes]:
    """A figure that is taller by the rows of its legend, which stands below the axes."""
    columns = legend_columns([setting.label for setting in settings])
    wrapped = sum(-(-len(setting.label) // LETTERS) for setting in settings)
    rows = -(-wrapped // columns)
    figure = Figure(figsize=(WIDTH, height + ROW * rows), layout="constrained")
    axis = figure.subplots()
    axis.grid(alpha=0.3)
    return figure, axis


def legend_columns(labels: list[str]) -> int:
    """How many labels stand next to each other."""
    return max(1, min(4, len(labels), LETTERS // (max(map(len, labels)) + 8)))


def legend(figure: Figure, axis: Axes) -> None:
    """The legend below the axes, long labels in several lines."""
    handles, labels = axis.get_legend_handles_labels()
    wrapped = ["\n".join(textwrap.wrap(label, LETTERS)) for label in labels]
    look = {"fontsize": 8, "frameon": False, "handlelength": 3.2}
    figure.legend(handles, wrapped, loc="outside lower center", ncols=legend_columns(labels), **look)


def spread_out(axis: Axis, values: list[float]) -> None:
    """A symmetric logarithmic scale, if one prior's ELBO is far from the others'."""
    if values and max(values) - min(values) > WIDE:
        axis.axes.set(**{f"{axis.axis_name}scale": SymmetricalLogScale(axis, linthresh=1, subs=[2, 5])})
        axis.set_major_formatter(ScalarFormatter())
        if axis.axis_name == "y":  # in a row, these labels would overlap
            axis.set_minor_formatter(ScalarFormatter())
