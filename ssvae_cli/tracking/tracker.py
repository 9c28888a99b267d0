"""Where a run's numbers go: metrics.jsonl, TensorBoard, summary.json."""

import io
import json
import logging
import os
from pathlib import Path

from tensorboard.compat.proto.summary_pb2 import Summary
from torch.utils.tensorboard import SummaryWriter
from torch.utils.tensorboard.summary import hparams, scalar

from ssvae_cli.errors import require
from ssvae_cli.files import atomic_write, write_json
from ssvae_cli.tracking.missing import REASONS, Missing, lines, plain, reasons

log = logging.getLogger(__name__)

SUFFIX = ".ssvae"  # of TensorBoard's file: another program's in the same folder is not this run's
DPI = 150  # of pictures
RGBA = 4  # channels of their pixels

LAYOUT = {
    "ELBO": {"nats": ["Multiline", ["elbo/train", "elbo/validation"]]},
    "Mutual information on validation": {
        bound: ["Multiline", [f"mi/{bound}/validation"]] for bound in ("infonce", "dv", "nwj")
    },
    "Representation": {
        "linear probe": ["Multiline", ["probe/linear/validation"]],
        "k-NN": ["Multiline", ["probe/knn/validation"]],
        "alignment": ["Multiline", ["geometry/alignment/validation"]],
        "uniformity": ["Multiline", ["geometry/uniformity/validation"]],
        "effective rank of centred z": ["Multiline", ["geometry/rank/validation"]],
    },
}


class Tracker:
    """One run's logs. metrics.jsonl has a line an epoch and no clock times, so runs compare byte by byte."""

    def __init__(self, run: Path, *, kept_bytes: int, meanings: dict[str, str] | None = None):
        """kept_bytes: how much of metrics.jsonl a resumed run continues from; 0 for a new one. meanings: TensorBoard's
        descriptions of tags.

        TensorBoard's file is written again from the lines that are kept: a killed run may have left it incomplete or
        ahead. The summary of a run that is continued is removed: it would pass for that of the longer run.
        """
        self.run, self._meanings, self._told = run, meanings or {}, set()
        self._metrics = open(run / "metrics.jsonl", "ab")
        there = self.bytes_written
        require(there >= kept_bytes, f"{run}/metrics.jsonl has lost lines: {there} bytes of the {kept_bytes} saved")
        self._metrics.truncate(kept_bytes)
        for old in [*run.glob(f"events.out.tfevents.*{SUFFIX}"), run / "summary.json", run / REASONS]:
            old.unlink(missing_ok=True)
        self._writer = SummaryWriter(run, filename_suffix=SUFFIX)
        self._writer.add_custom_scalars(LAYOUT)
        for line in self.history():
            self._scalars(line["step"], {k: v for k, v in line.items() if "/" in k})

    @property
    def bytes_written(self) -> int:
        """The size of metrics.jsonl, once it is on the disk, for the checkpoint."""
        self._metrics.flush()
        os.fsync(self._metrics.fileno())
        return os.fstat(self._metrics.fileno()).st_size

    def scalars(self, step: int, epoch: int, values: dict[str, float | Missing | None]) -> None:
        """One line of metrics.jsonl, and a TensorBoard scalar each; why one is missing goes to the log, once."""
        numbers = {k: plain(v) for k, v in sorted(values.items())}
        self._metrics.write(json.dumps({"epoch": epoch, "step": step} | numbers).encode() + b"\n")
        self._metrics.flush()
        self._scalars(step, numbers)
        new = {k: reason for k, reason in reasons(values).items() if (k, reason) not in self._told}
        self._told |= set(new.items())
        for line in lines(new):
            log.info("%s", line)

    def _scalars(self, step: int, values: dict[str, float | None]) -> None:
        for name, value in values.items():
            if value is not None:
                self._scalar(name, value, step)
        self._writer.flush()

    def _scalar(self, name: str, value: float, step: int) -> None:
        event = scalar(name, value)
        event.value[0].metadata.plugin_data.plugin_name = "scalars"  # readers warn of a description without one
        event.value[0].metadata.summary_description = self._meanings.get(name, "")
        self._writer.file_writer.add_summary(event, step)

    def history(self) -> list[dict]:
        """The lines of metrics.jsonl so far."""
        return [json.loads(line) for line in (self.run / "metrics.jsonl").read_text().splitlines()]

    def last_validation(self) -> dict[str, float | None]:
        """The numbers on validation after the last epoch."""
        last = (self.history() or [{}])[-1]
        return {name: value for name, value in last.items() if name.endswith("/validation")}

    def figure(self, name: str, figure, step: int) -> None:
        """A matplotlib figure to figures/<name>.png and to TensorBoard; drawn once, as drawing is what takes time."""
        drawn = io.BytesIO()
        figure.savefig(drawn, dpi=DPI, format="png")
        png = drawn.getvalue()
        atomic_write(self.run / "figures" / f"{name}.png", lambda path: path.write_bytes(png))
        width, height = (round(DPI * inches) for inches in figure.get_size_inches())
        image = Summary.Image(height=height, width=width, colorspace=RGBA, encoded_image_string=png)
        event = Summary(value=[Summary.Value(tag=f"figures/{name}", image=image)])
        self._writer.file_writer.add_summary(event, step)

    def summary(self, values: dict, choices: dict, step: int) -> None:
        """hparams in the run's own event file (add_hparams would make a child run); at the very end summary.json, by
        which a run has ended.

        The first of hparams' three summaries describes a whole experiment, and is left out: TensorBoard would take the
        columns of its table from the first that it meets. Without, they are the union over all runs, those that vary
        first."""
        _, *session = hparams(choices, {})
        for event in session:
            self._writer.file_writer.add_summary(event)
        for name, value in values.items():
            if isinstance(value, (int, float)) and "/" in name:
                self._scalar(name, float(value), step)
        self._writer.flush()
        write_summary(self.run, values)

    def close(self) -> None:
        self._writer.close()
        self._metrics.close()


def write_summary(folder: Path, values: dict) -> None:
    """summary.json, and before it reasons.json and a line of the log for each reason of a number that is missing."""
    unknown = reasons(values)
    for line in lines(unknown):
        log.info("%s", line)
    write_json(folder / REASONS, unknown)
    write_json(folder / "summary.json", {k: plain(v) for k, v in values.items()})
