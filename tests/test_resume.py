"""A run that was stopped ends where it would have ended.

1. Stopped between two steps of an epoch and resumed, it has the bits of a run never stopped: weights, optimizer,
   learning rate, generators, data order, the bank of a queue, targets and averages of weights, gradients that wait,
   MINE's average, the classifier of a ratio, and the logs.
2. SIGTERM and SIGINT save and leave with 143 and 130.
3. The whole configuration is compared; a few keys may change.
"""

import contextlib
import json
import os
import signal

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from helpers import refused, ssvae, train
from ssvae_cli.cli.overrides import override_value
from ssvae_cli.errors import UserError
from ssvae_cli.evaluation.evaluation import Evaluation
from ssvae_cli.optimizers import Optimization
from ssvae_cli.training import checkpoint
from ssvae_cli.training.collapse import CollapseWatch
from ssvae_cli.training.signals import Stopped

SMALL = ["trainer.epochs=3", "trainer.eval_every=3"]  # of 3 steps each


@pytest.fixture(autouse=True)
def in_a_terminal():
    """Ctrl-C is heard, which a process in the background ignores."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


STATEFUL = {
    "bank and target": ["experiment=methods/moco", "estimator.size=500", "pairs.views=3", "optimizer=muon"],
    "moving average": ["prior=mi", "estimator=mine"],
    "classifier": ["prior=unstructured_normal", "estimator=classifier"],
    "generators, momentum and average": ["posterior=gaussian", "estimator=leave_one_out", "encoder_prime=separate"]
    + ["optimizer=lars", "optimizer.accumulate=3", "trainer.ema=0.9"],
}
CLOCKS = {"time/train_s", "throughput/images_per_s", "train_s", "resume", "config"}


def stop_after(monkeypatch, step, number):
    """Send the signal `number` to this process right after training step `step`, counted from 0."""
    original = Optimization.step

    def stepped(self, at):
        norm = original(self, at)
        if at == step:
            os.kill(os.getpid(), number)
        return norm

    monkeypatch.setattr(Optimization, "step", stepped)


def same(one, other):
    """Bit for bit, at any depth, clocks left out."""
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[k], other[k]) for k in one if k not in CLOCKS)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other


def scalars(run):
    """Every TensorBoard scalar of a run's folder: tag -> [(step, value)]."""
    events = EventAccumulator(str(run), size_guidance={"scalars": 0})
    events.Reload()
    tags = set(events.Tags()["scalars"]) - CLOCKS
    return {tag: [(e.step, e.value) for e in events.Scalars(tag)] for tag in tags}


def summary(run):
    return json.loads((run / "summary.json").read_text())


@pytest.mark.parametrize("part", STATEFUL)
def test_a_run_stopped_between_two_steps_ends_in_the_bits_of_one_never_stopped(part, tmp_path, monkeypatch):
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    train(whole, *SMALL, *STATEFUL[part])
    with monkeypatch.context() as patch:
        stop_after(patch, 4, signal.SIGTERM)  # in the second epoch
        with pytest.raises(AssertionError):
            train(stopped, *SMALL, *STATEFUL[part])
    state = checkpoint.load(stopped)
    assert (state["epoch"], state["step"]) == (1, 2)
    assert ssvae("train", f"resume={stopped}") == 0
    assert same(checkpoint.load(whole), checkpoint.load(stopped))
    assert (whole / "metrics.jsonl").read_bytes() == (stopped / "metrics.jsonl").read_bytes()
    assert same(summary(whole), summary(stopped))
    assert scalars(whole) == scalars(stopped)
    assert (whole / "encoder.safetensors").read_bytes() == (stopped / "encoder.safetensors").read_bytes()


@pytest.mark.parametrize(
    "part, moved", [("bank and target", "estimator.bank.latents"), ("moving average", "estimator.log_average")]
)
def test_what_an_estimator_remembers_is_in_the_checkpoint(part, moved, tmp_path):
    train(tmp_path / "run", "trainer.epochs=1", *STATEFUL[part])
    value = checkpoint.load(tmp_path / "run")["objective"][moved]
    assert value.isfinite().all() and value.any()


@pytest.mark.parametrize("number, code", [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_saves_and_leaves_with_its_exit_code(number, code, tmp_path, monkeypatch, capfd):
    stop_after(monkeypatch, 1, number)
    arguments = ["trainer.batch_size=400", "encoder.backbone.width=8", "trainer.device=cpu"]
    before = signal.getsignal(number)
    assert ssvae("train", *arguments, f"hydra.run.dir={tmp_path}/run") == code
    assert signal.getsignal(number) is before
    assert checkpoint.load(tmp_path / "run")["step"] == 2
    said = f"ssvae: stopped by {number.name}; ssvae train resume={tmp_path}/run goes on"
    assert capfd.readouterr().err.splitlines()[-1] == said


@pytest.mark.parametrize("lost", [ImportError("initialization failed"), None], ids=["another error", "swallowed"])
@pytest.mark.parametrize("number, code", [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_inside_an_extensions_import_stops_the_command_all_the_same(
    number, code, lost, tmp_path, monkeypatch, capfd
):
    def initialise(*given):
        with contextlib.suppress(Stopped):  # as C code may
            os.kill(os.getpid(), number)
        if lost:
            raise lost

    monkeypatch.setattr(CollapseWatch, "__init__", initialise)
    assert ssvae("train", *SMALL, "trainer.device=cpu", f"hydra.run.dir={tmp_path}/run") == code
    assert capfd.readouterr().err.splitlines()[-1].startswith(f"ssvae: stopped by {number.name}")


def test_a_longer_run_goes_on_from_the_shorter_and_can_itself_be_resumed(run):
    assert ssvae("train", f"resume={run}", "trainer.epochs=2") == 0
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [(line["epoch"], line["step"]) for line in lines] == [(1, 3), (2, 6)]
    assert scalars(run)["elbo/train"] == [(line["step"], pytest.approx(line["elbo/train"])) for line in lines]
    before = (run / "metrics.jsonl").read_bytes()
    assert ssvae("train", f"resume={run}") == 0
    assert (run / "metrics.jsonl").read_bytes() == before


def test_a_run_that_has_ended_says_so_and_is_left_as_it_is(run, capfd):
    before = {p: p.read_bytes() for p in run.rglob("*") if p.name != "train.log" and p.is_file()}
    assert ssvae("train", f"resume={run}") == 0
    assert capfd.readouterr().err == f"{run} has ended, after epoch 1; trainer.epochs=N goes on to epoch N\n"
    assert {p: p.read_bytes() for p in before} == before


@pytest.mark.parametrize("left", [None, '{"elbo/te'], ids=["none", "cut short"])
def test_a_run_without_a_whole_closing_table_reads_test_again(left, run):
    whole = summary(run)
    (run / "summary.json").unlink() if left is None else (run / "summary.json").write_text(left)
    assert ssvae("train", f"resume={run}") == 0
    assert same(summary(run), whole)


def test_the_closing_table_of_a_shorter_run_is_not_taken_for_the_longer_ones(run, monkeypatch):
    shorter, read = summary(run), Evaluation.__call__

    def stop_at_test(self, reading, split, *begin):
        return os.kill(os.getpid(), signal.SIGTERM) or {} if split == "test" else read(self, reading, split)

    with monkeypatch.context() as patch:
        patch.setattr(Evaluation, "__call__", stop_at_test)
        assert ssvae("train", f"resume={run}", "trainer.epochs=2") == 143
    assert not (run / "summary.json").exists()
    assert ssvae("train", f"resume={run}") == 0
    assert summary(run)["elbo/test"] != shorter["elbo/test"]


def test_a_folder_of_another_command_is_refused(run, tmp_path, capfd):
    assert ssvae("embed", str(run), f"hydra.run.dir={tmp_path}/features") == 0
    line = refused(capfd, "train", f"resume={tmp_path}/features")
    assert "a folder of ssvae embed; give the folder of a run of ssvae train" in line


@pytest.mark.parametrize(
    "overrides, lines",
    [
        (["seed=3", "trainer.epochs=0"], ["seed was 0, now 3", "trainer.epochs was 1, now 0"]),
        (["prior.critic.temperature=0.3"], ["prior.critic.temperature was"]),
        (["+encoder.backbone.extra=1"], ["encoder.backbone.extra was None, now 1"]),
        (["prior/critic=rbf"], ["prior.critic._target_ was"]),
    ],
)
def test_another_configuration_is_refused_naming_each_key_and_what_may_change(overrides, lines, run, capfd):
    before = {p: p.read_bytes() for p in run.rglob("*") if p.is_file()}
    said = refused(capfd, "train", f"resume={run}", *overrides)
    assert all(line in said for line in lines)
    may = "trainer.device, dataset.workers, evaluation.test, dataset.path, dataset.test_path, dataset.root, trust"
    assert f"allowed to change: trainer.epochs upward, {may}" in said
    assert {p: p.read_bytes() for p in run.rglob("*") if p.is_file()} == before


def test_lost_lines_of_the_log_are_named_and_not_filled_with_zeros(run, capfd):
    (run / "metrics.jsonl").write_text("")
    assert ssvae("train", f"resume={run}") == 2
    assert "has lost lines" in capfd.readouterr().err.splitlines()[-1]
    assert (run / "metrics.jsonl").read_text() == ""


def test_a_damaged_line_of_the_log_is_named_and_costs_no_summary(run, capfd):
    lines, summary = (run / "metrics.jsonl").read_bytes(), (run / "summary.json").read_bytes()
    (run / "metrics.jsonl").write_bytes(b"\0" * len(lines))
    assert ssvae("train", f"resume={run}", "trainer.epochs=2") == 2
    assert "is damaged in line 1; put it back as it was, or train" in capfd.readouterr().err.splitlines()[-1]
    assert (run / "summary.json").read_bytes() == summary


@pytest.mark.parametrize("content", [[1, 2], {"weight": torch.ones(2)}, {"epoch": 3, "state_dict": {}}], ids=str)
def test_a_checkpoint_of_another_program_is_a_line_for_every_command(content, tmp_path):
    (tmp_path / "checkpoints").mkdir()
    torch.save(content, tmp_path / "checkpoints" / "last.pt")
    with pytest.raises(UserError, match="is no checkpoint of ssvae: it lacks config, .*give the folder of a run"):
        checkpoint.load(tmp_path)


@pytest.mark.parametrize("sign", ["", "+", "++"])
def test_a_key_that_hydra_is_to_add_is_the_same_key(sign):
    assert override_value("resume", ["seed=1", f"{sign}resume=a", "resume.b=c"]) == "a"


def test_a_checkpoint_of_another_kind_of_model_is_refused_with_a_line(run, capfd):
    state = checkpoint.load(run)
    state["objective"].popitem()
    checkpoint.save(run, state)
    assert "does not fit" in refused(capfd, "train", f"resume={run}", "trainer.epochs=2")


def test_a_run_that_goes_on_with_another_number_of_threads_says_so(run):
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(before + 1)
        assert ssvae("train", f"resume={run}", "trainer.epochs=2") == 0
    finally:
        torch.set_num_threads(before)
    assert f"begun with {before} threads, goes on with {before + 1}" in (run / "train.log").read_text()
