"""A run's own files, metrics.jsonl, figures/ and summary.json, and the trackers that get the same."""

import json
import logging
import os
import weakref
from collections.abc import Sequence
from pathlib import Path

from ssvae_cli.errors import UserError, require
from ssvae_cli.files import atomic_write, close_quietly, require_claimed, write_json
from ssvae_cli.run_folder import METRICS
from ssvae_cli.tracking.missing import REASONS, Missing, lines, plain, reasons
from ssvae_cli.tracking.png import DPI, png
from ssvae_cli.tracking.tracker import Tracker

log = logging.getLogger(__name__)


class Record:
    """One run's logs. metrics.jsonl has a line an epoch and no clock times, so runs compare byte by byte."""

    def __init__(
        self,
        run: Path,
        *,
        kept_bytes: int,
        trackers: Sequence[Tracker] = (),
        settings: dict | None = None,
        meanings: dict[str, str] | None = None,
    ):
        """kept_bytes: how much of metrics.jsonl a resumed run continues from; 0 for a new one. settings, meanings: for
        the trackers. Raises UserError, and changes nothing, where lines are lost or damaged."""
        require_claimed(run)
        self.run, self._trackers, self._told = run, trackers, set()
        metrics = run / METRICS
        written = metrics.read_bytes() if metrics.exists() else b""
        lost = f"{metrics} has lost lines: {len(written)} bytes of the {kept_bytes} saved"
        require(len(written) >= kept_bytes, lost)
        parsed(written[:kept_bytes], metrics)
        # Its own file, should this one be a link, or share its bytes with a copy of the folder by a hard link.
        atomic_write(metrics, lambda path: path.write_bytes(written[:kept_bytes]))
        self._metrics = open(metrics, "ab")
        # A program from which a run is called goes on when the run fails, or is stopped.
        weakref.finalize(self, close_quietly, self._metrics)
        for tracker in trackers:
            tracker.begin(run, dict(settings or {}), dict(meanings or {}), self.history())

    @property
    def bytes_written(self) -> int:
        """The size of metrics.jsonl, once it is on the disk, for the checkpoint."""
        self._metrics.flush()
        os.fsync(self._metrics.fileno())
        return os.fstat(self._metrics.fileno()).st_size

    def scalars(self, step: int, epoch: int, values: dict[str, float | Missing | None]) -> None:
        """One line of metrics.jsonl; why a number is missing goes to the log, once."""
        require_claimed(self.run)  # trackers may make folders
        numbers = {k: plain(v) for k, v in sorted(values.items())}
        self._metrics.write(json.dumps({"epoch": epoch, "step": step} | numbers).encode() + b"\n")
        self._metrics.flush()
        for tracker in self._trackers:
            tracker.scalars(step, dict(numbers))  # its own, which it may change
        new = {k: reason for k, reason in reasons(values).items() if (k, reason) not in self._told}
        self._told |= set(new.items())
        for line in lines(new):
            log.info("%s", line)

    def history(self) -> list[dict]:
        """The lines of metrics.jsonl so far."""
        return parsed((self.run / METRICS).read_bytes(), self.run / METRICS)

    def last_validation(self) -> dict[str, float | None]:
        """The numbers on validation after the last epoch."""
        last = (self.history() or [{}])[-1]
        return {name: value for name, value in last.items() if name.endswith("/validation")}

    def figure(self, name: str, figure, step: int) -> None:
        """A matplotlib figure to figures/<name>.png, and to the trackers."""
        drawn = png(figure)
        atomic_write(self.run / "figures" / f"{name}.png", lambda path: path.write_bytes(drawn))
        width, height = (round(DPI * inches) for inches in figure.get_size_inches())
        for tracker in self._trackers:
            tracker.figure(name, drawn, (width, height), step)

    def summary(self, values: dict, step: int) -> None:
        """What the run ends with; at the very end summary.json, by which it has ended."""
        numbers = {k: float(v) for k, v in values.items() if isinstance(v, (int, float)) and "/" in k}
        for tracker in self._trackers:
            tracker.summary(dict(numbers), step)
        write_summary(self.run, values)

    def close(self) -> None:
        for tracker in self._trackers:
            tracker.close()
        self._metrics.close()


def parsed(written: bytes, file: Path) -> list[dict]:
    """The lines of metrics.jsonl. Raises UserError for one that is no JSON. file: for the error."""
    lines = []
    for number, line in enumerate(written.splitlines(), 1):
        try:
            lines.append(json.loads(line))
        except ValueError:
            remedy = "put it back as it was, or train the run anew, in another folder"
            raise UserError(f"{file} is damaged in line {number}; {remedy}") from None
    return lines


def write_summary(folder: Path, values: dict) -> None:
    """summary.json, and before it reasons.json and a line of the log for each reason of a number that is missing."""
    unknown = reasons(values)
    for line in lines(unknown):
        log.info("%s", line)
    write_json(folder / REASONS, unknown)
    write_json(folder / "summary.json", {k: plain(v) for k, v in values.items()})
