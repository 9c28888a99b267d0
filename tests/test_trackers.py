"""Trackers get what the run's own files hold; kept checkpoints are those of their epochs.

1. Every tracker gets the settings, the lines of metrics.jsonl, the pictures and the summary, and is closed.
2. Weights & Biases offline and MLflow's store hold them, where they are installed; without them there is a line.
3. epoch_<n>.pt and best.pt are read by name; best.pt is where a number of validation was highest.
"""

import json

import pytest
import torch
from matplotlib.figure import Figure
from omegaconf import OmegaConf

from helpers import composed, refused, ssvae, train
from ssvae_cli.errors import PartError, UserError
from ssvae_cli.evaluation.unread import require_read
from ssvae_cli.instantiate.build import build, build_named
from ssvae_cli.tracking.mlflow_store import MLflow
from ssvae_cli.tracking.record import Record
from ssvae_cli.tracking.tracker import CONTRACT
from ssvae_cli.tracking.weights_and_biases import WeightsAndBiases
from ssvae_cli.training import checkpoint
from ssvae_cli.training.kept import KeptCheckpoints


class Listing:
    """A tracker that notes its calls."""

    def __init__(self):
        self.calls = []

    def __getattr__(self, name):
        return lambda *given: self.calls.append((name, *given))


def recorded(run, *trackers):
    """Two epochs, a picture and a summary."""
    run.mkdir()
    record = Record(run, kept_bytes=0, trackers=trackers, settings={"prior": "mi", "seed": 3})
    record.scalars(4, 1, {"elbo/train": 0.5, "kl/validation": None})
    record.scalars(8, 2, {"elbo/train": 0.75})
    record.figure("curves", Figure(figsize=(1, 1)), 8)
    record.summary({"elbo/test": 0.7, "device": "cpu", "kl/test": None}, 8)
    record.close()


class Emptying:
    """A tracker that takes the numbers out of what it gets."""

    def __getattr__(self, name):
        return lambda *given: [numbers.clear() for numbers in given if isinstance(numbers, dict)]


def test_a_tracker_gets_what_the_files_hold_whatever_another_does_to_it(tmp_path):
    tracker = Listing()
    recorded(tmp_path / "run", Emptying(), tracker)
    begin, first, second, (_, name, png, size, _), summary, close = tracker.calls
    assert begin == ("begin", tmp_path / "run", {"prior": "mi", "seed": 3}, {}, [])
    assert first == ("scalars", 4, {"elbo/train": 0.5, "kl/validation": None}) and second[1] == 8
    assert name == "curves" and png == (tmp_path / "run" / "figures" / "curves.png").read_bytes() and size == (150, 150)
    assert summary == ("summary", {"elbo/test": 0.7}, 8) and close == ("close",)


def test_a_run_that_goes_on_tells_its_trackers_what_it_had(tmp_path):
    recorded(tmp_path / "run")
    tracker, size = Listing(), (tmp_path / "run" / "metrics.jsonl").stat().st_size
    Record(tmp_path / "run", kept_bytes=size, trackers=[tracker]).close()
    (_, *_, history), _ = tracker.calls
    assert [line["elbo/train"] for line in history] == [0.5, 0.75]


def test_a_copy_of_the_folder_by_hard_links_keeps_its_lines(tmp_path):
    recorded(tmp_path / "run")
    lines, copied = (tmp_path / "run" / "metrics.jsonl").read_bytes(), tmp_path / "copied.jsonl"
    copied.hardlink_to(tmp_path / "run" / "metrics.jsonl")
    record = Record(tmp_path / "run", kept_bytes=len(lines))
    record.scalars(12, 3, {"elbo/train": 0.8})
    record.close()
    assert copied.read_bytes() == lines and len(record.history()) == 3


def test_mlflows_store_holds_the_run(tmp_path, monkeypatch):
    pytest.importorskip("mlflow", reason="needs the extra ssvae[mlflow]")
    from mlflow import MlflowClient

    monkeypatch.chdir(tmp_path)  # where MLflow keeps pictures
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    recorded(tmp_path / "run", MLflow(uri=uri, experiment="tested"))
    client = MlflowClient(tracking_uri=uri)
    (run,) = client.search_runs([client.get_experiment_by_name("tested").experiment_id])
    assert run.data.params == {"prior": "mi", "seed": "3"} and run.data.metrics["elbo/test"] == 0.7
    assert [m.value for m in client.get_metric_history(run.info.run_id, "elbo/train")] == [0.5, 0.75]
    assert run.info.status == "FINISHED"


def test_mlflow_takes_names_of_any_letters_and_does_not_show_a_run_as_running_that_was_stopped(tmp_path, monkeypatch):
    pytest.importorskip("mlflow", reason="needs the extra ssvae[mlflow]")
    from mlflow import MlflowClient

    monkeypatch.chdir(tmp_path)  # where MLflow keeps pictures
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    tracker = MLflow(uri=uri, experiment="tested")
    tracker.begin(tmp_path, {"tracker@trackers.mlflow": "mlflow"}, {}, [])
    tracker.scalars(1, {"factors/r2/a (1)/test": 0.5})
    client, number = MlflowClient(tracking_uri=uri), (tmp_path / "mlflow_id.txt").read_text().strip()
    assert client.get_run(number).info.status == "RUNNING"
    del tracker
    assert client.get_run(number).info.status == "KILLED"


@pytest.mark.parametrize("uri", ["mlruns", "file:///mlruns"])
def test_mlflows_store_of_folders_which_cannot_hold_the_names_is_refused(uri):
    with pytest.raises(UserError, match="no folder can hold both elbo/test and elbo/test/error; give a database"):
        MLflow(uri=uri, experiment="tested")


def test_weights_and_biases_offline_writes_to_the_runs_folder(tmp_path):
    pytest.importorskip("wandb", reason="needs the extra ssvae[wandb]")
    recorded(tmp_path / "run", WeightsAndBiases(project="tested", entity=None, mode="offline"))
    (file,) = (tmp_path / "run").rglob("*.wandb")
    assert b"elbo/train" in file.read_bytes() and (tmp_path / "run" / "wandb_id.txt").read_text().strip()


@pytest.mark.parametrize("extra, settings", [("wandb", {"project": "p", "entity": None, "mode": "offline"}),
                                             ("mlflow", {"uri": "http://u", "experiment": "e"})])  # fmt: skip
def test_without_the_extra_a_tracker_is_one_line(extra, settings, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError, match=f"tracker={extra} needs .* pip install 'ssvae.{extra}.'"):
        {"wandb": WeightsAndBiases, "mlflow": MLflow}[extra](**settings)


def test_what_is_no_tracker_is_refused():
    with pytest.raises(PartError, match="has no begin and .* a tracker has the methods of Tracker"):
        build(OmegaConf.create({"_target_": "torch.nn.Identity"}), "trackers.own", CONTRACT)


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """A run with checkpoints of epochs, and the best by a number that falls."""
    run = tmp_path_factory.mktemp("kept") / "run"
    words = ["trainer.epochs=3", "trainer.checkpoint_every=2", "trainer.keep_best=elbo/validation"]
    train(
        run,
        "evaluation=quick",
        "evaluation.metrics.probe=null",
        "dataset.limit=400",
        *words,
        "~tracker@trackers.tensorboard",
    )
    return run


def test_parts_by_name_are_without_what_is_null_and_without_their_key_there_are_none():
    board = {"_target_": "ssvae_cli.tracking.tensorboard.TensorBoard"}
    built = build_named(OmegaConf.create({"trackers": {"one": board, "other": None}}), "trackers", CONTRACT)
    assert [*built] == ["one"] and build_named(OmegaConf.create({}), "trackers", CONTRACT) == {}


def test_checkpoints_are_kept_and_read_by_name(kept):
    assert {path.stem for path in (kept / "checkpoints").iterdir()} == {"last", "best", "epoch_2"}
    assert not list(kept.glob("events.out.tfevents.*"))
    lines = [json.loads(line) for line in (kept / "metrics.jsonl").read_text().splitlines()]
    best = max(lines, key=lambda line: line["elbo/validation"])["epoch"]
    found = {name: checkpoint.load(kept, name=name)["epoch"] for name in ("last", "best", "epoch_2")}
    assert found == {"last": 3, "best": best, "epoch_2": 2}
    with pytest.raises(UserError, match="checkpoint=epoch_3: .* did you mean 'epoch_2'"):
        checkpoint.load(kept, name="epoch_3")


def test_a_checkpoint_that_a_kill_kept_from_being_kept_is_kept_by_the_run_that_goes_on(tmp_path):
    run, none = tmp_path / "run", ["evaluation=none", "dataset.limit=400", "trainer.checkpoint_every=2"]
    train(run, *none, "trainer.epochs=2")
    (run / "checkpoints" / "epoch_2.pt").unlink()  # as if killed once the epoch was saved
    assert ssvae("train", f"resume={run}", "trainer.epochs=3") == 0
    assert checkpoint.load(run, name="epoch_2")["epoch"] == 2


def test_the_best_is_kept_where_the_number_was_highest(tmp_path):
    (tmp_path / "checkpoints").mkdir()
    kept, history = KeptCheckpoints(tmp_path, every=None, best="a/validation"), []
    for epoch, value in enumerate([0.1, 0.4, None, 0.3, 0.4, 0.5], 1):
        torch.save({"epoch": epoch}, tmp_path / "checkpoints" / "last.pt")
        history.append({"a/validation": value} if epoch != 5 else {})
        kept.look(epoch, lambda: history)
        assert torch.load(tmp_path / "checkpoints" / "best.pt")["epoch"] == {1: 1, 6: 6}.get(epoch, 2)


def test_the_best_by_a_number_that_is_not_read_is_one_line(tmp_path, capfd):
    words = ["trainer.keep_best=probe/linear/validation", "evaluation=none", f"hydra.run.dir={tmp_path}/run"]
    line = refused(capfd, "train", *words)
    assert line == f"ssvae: {words[0]}: evaluation has no metric, and no number is read"


@pytest.mark.parametrize(
    "name, words, said",
    {
        "of test": ("probe/linear/test", [], "did you mean 'probe/linear/validation'"),
        "of a metric that is left out": ("probe/knn/validation", ["evaluation.metrics.knn=null"], "allowed: clusters/"),
        "of no metric": ("own/validation", [], "no number that is read on validation"),
        "of none that is there": (
            "clusters/accuracy/validation",
            ["evaluation=quick"],
            "allowed: elbo/validation, evidence/validation",
        ),
    }.values(),
)
def test_a_number_that_validation_does_not_have_is_one_line(name, words, said):
    metrics = build(composed(*words).evaluation, "evaluation").metrics.values()
    with pytest.raises(UserError, match=f"^trainer.keep_best={name}: no number") as error:
        require_read(name, metrics)
    assert said in str(error.value)
    require_read("own/validation", [*metrics, lambda reading, split: {}])
    require_read("elbo/validation", metrics)


def test_epochs_between_kept_checkpoints_are_at_least_one():
    with pytest.raises(UserError, match="trainer.checkpoint_every must be at least 1, got 0"):
        build(composed("trainer.checkpoint_every=0").trainer, "trainer")
