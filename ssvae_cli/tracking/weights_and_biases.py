"""Weights & Biases as a tracker; needs the extra `wandb`."""

import io
import logging
from pathlib import Path
from typing import Literal

from ssvae_cli.errors import require_extra

log = logging.getLogger(__name__)
ID = "wandb_id.txt"  # in the run's folder: the run that a resumed one goes on with


class WeightsAndBiases:
    """A Tracker. project, entity: where the run is filed. mode: offline writes to wandb/ in the run's folder, which
    `wandb sync` uploads; online uploads at once."""

    def __init__(self, *, project: str, entity: str | None, mode: Literal["offline", "online"]):
        require_extra("wandb", "tracker=wandb", "wandb")
        self.project, self.entity, self.mode = project, entity, mode

    def begin(self, run: Path, settings: dict, meanings: dict[str, str], history: list[dict]) -> None:
        import wandb

        note = run / ID
        known = note.read_text("utf-8").strip() if history and note.exists() else None
        place = {"project": self.project, "entity": self.entity, "name": run.name, "dir": str(run)}
        quiet = wandb.Settings(silent=True, console="off")
        again = {"id": known, "resume": "allow"} if known else {}
        self._run = wandb.init(**place, **again, mode=self.mode, config=settings, settings=quiet, reinit="create_new")
        note.write_text(f"{self._run.id}\n", "utf-8")
        if self.mode == "offline":
            log.info("wandb sync %s", Path(self._run.dir).parent)

    def scalars(self, step: int, values: dict[str, float | None]) -> None:
        self._run.log({name: value for name, value in values.items() if value is not None}, step=step)

    def figure(self, name: str, png: bytes, size: tuple[int, int], step: int) -> None:
        import wandb
        from PIL import Image

        self._run.log({f"figures/{name}": wandb.Image(Image.open(io.BytesIO(png)))}, step=step)

    def summary(self, values: dict[str, float], step: int) -> None:
        self._run.summary.update(values)

    def close(self) -> None:
        self._run.finish()
