"""A command that is printed can be pasted into a shell, and goes on with the run or sweep in a folder of any name."""

import os
import re
import signal
import subprocess

import pytest

from helpers import ssvae
from ssvae_cli import train
from ssvae_cli.errors import UserError
from ssvae_cli.paths import shell_command
from ssvae_cli.report import command as report
from ssvae_cli.run_folder import CHECKPOINT
from ssvae_cli.training import checkpoint
from ssvae_cli.training.signals import Stopped
from test_paths import ODD, REFERENCE


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def pasted(command_line: str) -> list[str]:
    """The words that bash makes of a line."""
    done = subprocess.run(["bash", "-c", f"printf '%s\\0' {command_line}"], capture_output=True, check=True)
    return [os.fsdecode(word) for word in done.stdout.split(b"\0")[:-1]]


def test_a_shell_reads_a_printed_command_as_the_words_that_it_is_made_of():
    words = [*ODD, REFERENCE, "\x1b[31m", "\u2028", "\t", "a\\'\n", "!x", "*", ""]
    printed = shell_command(*words)
    assert len(printed.splitlines()) == 1
    assert pasted(printed) == words


def commands_in(text: str) -> list[list[str]]:
    """The commands of ssvae in what was printed, as a shell reads them, without the program's name."""
    found = re.findall(r"(?:^|[;,] )(ssvae (?:train|report) .*?)(?: goes on| compares them| runs what)", text, re.M)
    return [pasted(line)[1:] for line in found]


@pytest.mark.parametrize("name", ["lr=0.1,x (1)", 'it\'s "a"\nb\\', "~odd", "😀 $HOME #;"])
def test_the_command_after_a_signal_resumes_the_run(name, here, monkeypatch, capfd):
    resumed = []

    def job(config, folder, choices):
        if config.resume is None:
            (folder / CHECKPOINT).parent.mkdir()
            (folder / CHECKPOINT).touch()
            raise Stopped(signal.SIGTERM)
        resumed.append((folder, config.dataset.path))

    monkeypatch.setattr(train, "train", job)
    monkeypatch.setattr(checkpoint, "refuse_other_run", lambda run, config: None)
    data = f"{name} ${{x}}.npz"
    (here / data).touch()
    assert ssvae("train", "dataset=npz", f"dataset.path=./{data}", f"hydra.run.dir=./{name}") == 143
    (resume,) = commands_in(capfd.readouterr().err)
    assert ssvae(*resume) == 0
    assert ssvae(*resume) == 0  # from the overrides that the first resumption stored
    assert resumed == [(here / name, f"./{data}")] * 2


@pytest.mark.parametrize("name", ["lr=0.1,x (1)", 'it\'s "a"\nb\\'])
def test_the_commands_at_the_end_of_a_sweep_complete_it_and_compare_its_jobs(name, here, monkeypatch, capfd):
    ran, reported = [], []

    def job(config, folder, choices):
        ran.append((config.seed, config.dataset.path))
        if config.seed == 1 and len(ran) < 3:
            raise UserError("the first time")
        (folder / "summary.json").write_text("{}")

    monkeypatch.setattr(train, "train", job)
    monkeypatch.setattr(report, "report", lambda config, folder, choices: reported.append(config.runs))
    data = "my, data=[1] (é).npz"
    (here / data).touch()
    sweep = ["dataset=npz", f"dataset.path={data}", "seed=0,1", f"hydra.sweep.dir=./{name}"]
    assert ssvae("train", "-m", *sweep) == 1
    (resume,) = commands_in(capfd.readouterr().err)
    assert ssvae(*resume) == 0
    (compare,) = commands_in(capfd.readouterr().err)
    assert ssvae(*compare) == 0
    assert ran == [(0, data), (1, data), (1, data)]
    assert os.path.samefile(reported[0], here / name)
