"""Output that cannot be written is lost, and the work is done: no traceback, the work's own exit code."""

import json
import subprocess
import sysconfig
from pathlib import Path

import pytest
from omegaconf import OmegaConf

SSVAE = f"'{Path(sysconfig.get_path('scripts')) / 'ssvae'}'"
LOST = {"closed": "<&- >&- 2>&-", "full": ">/dev/full 2>/dev/full"}


def shell(command: str, folder: Path) -> subprocess.CompletedProcess:
    return subprocess.run(["bash", "-c", command], cwd=folder, capture_output=True)


@pytest.mark.parametrize(
    "words, lost, code",
    [
        ("--version", ">&-", 0),
        ("--help", ">/dev/full", 0),
        ("train --help", ">/dev/full", 0),
        ("train sed=1", "2>&-", 2),  # and its line does not go to stdout
        ("train sed=1", "2>/dev/full", 2),
    ],
)
def test_the_exit_code_is_that_of_the_work(words, lost, code, tmp_path):
    done = shell(f"{SSVAE} {words} {lost}", tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (code, b"", b"")


@pytest.mark.parametrize("lost", LOST)
def test_a_command_without_output_writes_its_files_and_nothing_else_into_them(lost, tmp_path):
    run = tmp_path / "run"
    (run / ".hydra").mkdir(parents=True)
    OmegaConf.save({"seed": 0}, run / ".hydra" / "config.yaml")
    OmegaConf.save([], run / ".hydra" / "overrides.yaml")
    (run / "metrics.jsonl").write_text('{"epoch": 1, "elbo/validation": 1.0}\n')
    (run / "summary.json").write_text(json.dumps({"elbo/test": 1.0}))
    done = shell(f"{SSVAE} report run metrics=[elbo/test] hydra.run.dir=out {LOST[lost]}", tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    assert (tmp_path / "out" / "report.html").read_text().endswith("</html>\n")
    log = (tmp_path / "out" / "report.log").read_text()
    assert log == f"1 run, 1 setting: {tmp_path}/out/report.html\n"
