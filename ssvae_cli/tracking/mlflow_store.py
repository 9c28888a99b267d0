"""MLflow as a tracker; needs the extra `mlflow`."""

import contextlib
import re
import weakref
from collections.abc import Iterator
from pathlib import Path

from ssvae_cli.errors import UserError, require, require_extra

ID = "mlflow_id.txt"  # in the run's folder: the run that a resumed one goes on with
LONGEST = 500  # letters of a parameter that every store of MLflow takes
REFUSED = re.compile(r"[^\w\-. :/]")  # in a name


class MLflow:
    """A Tracker. uri: a server, or a database such as sqlite:///mlflow.db. experiment: by its name.

    Letters that MLflow does not take in a name become _. Raises UserError, once a run has begun too, where the store
    refuses or is out of reach: the run can be resumed."""

    def __init__(self, *, uri: str, experiment: str):
        instead = "a database, as sqlite:///mlflow.db, or a server"
        folder = uri.startswith("file:") or ":" not in uri
        require(not folder, f"uri={uri}: no folder can hold both elbo/test and elbo/test/error; give {instead}")
        require_extra("mlflow", "tracker=mlflow", "mlflow", "sqlalchemy")
        self.uri, self.experiment = uri, experiment

    def begin(self, run: Path, settings: dict, meanings: dict[str, str], history: list[dict]) -> None:
        from mlflow import MlflowClient

        self._run, note = run, run / ID
        known = note.read_text("utf-8").strip() if history and note.exists() else None
        with self._asked():
            self._client = MlflowClient(tracking_uri=self.uri)
            found = self._client.get_experiment_by_name(self.experiment)
            number = found.experiment_id if found else self._client.create_experiment(self.experiment)
            self._id = known or self._client.create_run(number, run_name=run.name).info.run_id
            # A run that is stopped, or fails, does not come to `close`, and would seem to run for ever.
            self._stopped = weakref.finalize(self, _killed, self._client, self._id)
            if known:
                self._client.update_run(known, status="RUNNING")
                return
            for name, value in settings.items():
                self._client.log_param(self._id, _taken(name), str(value)[:LONGEST])
        note.write_text(f"{self._id}\n", "utf-8")

    def scalars(self, step: int, values: dict[str, float | None]) -> None:
        with self._asked():
            for name, value in values.items():
                if value is not None:
                    self._client.log_metric(self._id, _taken(name), value, step=step)

    def figure(self, name: str, png: bytes, size: tuple[int, int], step: int) -> None:
        # `Record` has written it to the run's folder, under this name.
        with self._asked():
            self._client.log_artifact(self._id, str(self._run / "figures" / f"{name}.png"), "figures")

    def summary(self, values: dict[str, float], step: int) -> None:
        self.scalars(step, values)

    def close(self) -> None:
        self._stopped.detach()
        with self._asked():
            self._client.set_terminated(self._id)

    @contextlib.contextmanager
    def _asked(self) -> Iterator[None]:
        """Inside, the store is asked: what it refuses is one line."""
        from mlflow.exceptions import MlflowException

        try:
            yield
        except MlflowException as error:
            raise UserError(f"trackers.mlflow.uri={self.uri}: {' '.join(str(error).split())}") from error


def _taken(name: str) -> str:
    """The name as MLflow takes it, whose parts could be those of a path."""
    return "/".join(REFUSED.sub("_", part).strip(".") or "_" for part in name.split("/"))


def _killed(client, run: str) -> None:
    """Tell the store, if it can be reached, that a run was stopped; why the run ends is said elsewhere."""
    with contextlib.suppress(Exception):
        client.set_terminated(run, status="KILLED")
