"""TensorBoard's event file in a run's folder: scalars with a layout, hparams, pictures."""

import functools
import weakref
from pathlib import Path

from ssvae_cli.files import close_quietly

SUFFIX = ".ssvae"  # of TensorBoard's file: another program's in the same folder is not this run's
RGBA = 4  # channels of the pixels of pictures

LAYOUT = {
    "ELBO": {"nats": ["Multiline", ["elbo/train", "elbo/validation", "objective/train"]]},
    "ELBO = I - KL on validation": {"nats": ["Multiline", ["elbo/validation", "mi/fresh/validation", "kl/validation"]]},
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


class TensorBoard:
    """A Tracker. The file of a run that goes on is written again from its lines: a killed run may have left it
    incomplete or ahead."""

    def begin(self, run: Path, settings: dict, meanings: dict[str, str], history: list[dict]) -> None:
        self._run, self._settings, self._meanings, self._history = run, settings, meanings, history
        for old in run.glob(f"events.out.tfevents.*{SUFFIX}"):
            old.unlink()

    @functools.cached_property
    def _writer(self):
        """TensorBoard's, with the lines that are there; imported when the first epoch has ended."""
        from torch.utils.tensorboard import SummaryWriter

        writer = self._writer = SummaryWriter(self._run, filename_suffix=SUFFIX)
        weakref.finalize(self, close_quietly, writer)  # a run that is stopped, or fails, does not come to `close`
        writer.add_custom_scalars(LAYOUT)
        for line in self._history:
            self.scalars(line["step"], {name: value for name, value in line.items() if "/" in name})
        return writer

    def scalars(self, step: int, values: dict[str, float | None]) -> None:
        for name, value in values.items():
            if value is not None:
                self._scalar(name, value, step)
        self._writer.flush()

    def _scalar(self, name: str, value: float, step: int) -> None:
        from torch.utils.tensorboard.summary import scalar

        event = scalar(name, value)
        event.value[0].metadata.plugin_data.plugin_name = "scalars"  # readers warn of a description without one
        event.value[0].metadata.summary_description = self._meanings.get(name, "")
        self._writer.file_writer.add_summary(event, step)

    def figure(self, name: str, png: bytes, size: tuple[int, int], step: int) -> None:
        from tensorboard.compat.proto.summary_pb2 import Summary

        width, height = size
        image = Summary.Image(height=height, width=width, colorspace=RGBA, encoded_image_string=png)
        event = Summary(value=[Summary.Value(tag=f"figures/{name}", image=image)])
        self._writer.file_writer.add_summary(event, step)

    def summary(self, values: dict[str, float], step: int) -> None:
        """hparams go into the run's own event file; add_hparams would make a child run.

        The first of hparams' three summaries describes a whole experiment, and is left out: TensorBoard would take the
        columns of its table from the first that it meets. Without, they are the union over all runs, those that vary
        first."""
        from torch.utils.tensorboard.summary import hparams

        _, *session = hparams(self._settings, {})
        for event in session:
            self._writer.file_writer.add_summary(event)
        self.scalars(step, values)

    def close(self) -> None:
        if "_writer" in vars(self):
            self._writer.close()
