"""What a tracker is: where a run's numbers and pictures go, besides the files of the run itself."""

from pathlib import Path
from typing import Protocol

from ssvae_cli.instantiate.build import Contract

CONTRACT = Contract(
    ("begin", "scalars", "figure", "summary", "close"),
    "a tracker has the methods of Tracker in ssvae_cli.tracking.tracker",
)


class Tracker(Protocol):
    """A place for the numbers of one run; of several processes, rank zero alone has trackers.

    Names of numbers are group/name/split; steps count training steps; a number that is missing is None."""

    def begin(self, run: Path, settings: dict, meanings: dict[str, str], history: list[dict]) -> None:
        """The run begins in its folder, or goes on after the lines of `history`. settings: the choice in each group and
        every key, plain values. meanings: a description for some of the numbers."""

    def scalars(self, step: int, values: dict[str, float | None]) -> None:
        """The numbers of an epoch, after its last step."""

    def figure(self, name: str, png: bytes, size: tuple[int, int], step: int) -> None:
        """A picture; size: its width and height."""

    def summary(self, values: dict[str, float], step: int) -> None:
        """The numbers that the run ends with."""

    def close(self) -> None:
        """Nothing more comes."""
