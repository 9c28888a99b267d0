"""MLflow as a tracker; needs the extra `mlflow`."""

import os
from pathlib import Path

from ssvae_cli.errors import UserError, require_extra

ID = "mlflow_id.txt"  # in the run's folder: the run that a resumed one goes on with
LONGEST = 500  # letters of a parameter that every store of MLflow takes


class MLflow:
    """A Tracker. uri: a server, a database such as sqlite:///mlflow.db, or a folder. experiment: by its name."""

    def __init__(self, *, uri: str, experiment: str):
        require_extra("mlflow", "tracker=mlflow", "mlflow")
        self.uri, self.experiment = uri, experiment
        if "://" not in uri:  # of MLflow 3, which otherwise refuses folders
            os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")

    def begin(self, run: Path, settings: dict, meanings: dict[str, str], history: list[dict]) -> None:
        from mlflow import MlflowClient
        from mlflow.exceptions import MlflowException

        self._run, note = run, run / ID
        try:
            self._client = MlflowClient(tracking_uri=self.uri)
            found = self._client.get_experiment_by_name(self.experiment)
            number = found.experiment_id if found else self._client.create_experiment(self.experiment)
            if history and note.exists():
                self._id = note.read_text().strip()
                self._client.update_run(self._id, status="RUNNING")
                return
            self._id = self._client.create_run(number, run_name=run.name).info.run_id
            for name, value in settings.items():
                self._client.log_param(self._id, name, str(value)[:LONGEST])
        except MlflowException as error:
            raise UserError(f"trackers.mlflow.uri={self.uri}: {' '.join(str(error).split())}") from error
        note.write_text(f"{self._id}\n")

    def scalars(self, step: int, values: dict[str, float | None]) -> None:
        for name, value in values.items():
            if value is not None:
                self._client.log_metric(self._id, name, value, step=step)

    def figure(self, name: str, png: bytes, size: tuple[int, int], step: int) -> None:
        # `Record` has written it to the run's folder, under this name.
        self._client.log_artifact(self._id, str(self._run / "figures" / f"{name}.png"), "figures")

    def summary(self, values: dict[str, float], step: int) -> None:
        self.scalars(step, values)

    def close(self) -> None:
        self._client.set_terminated(self._id)
