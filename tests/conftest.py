import copy
import gc
import io
import json
import os
import shutil

from ssvae_cli.distributed.threads import usable_cores

# Parallel tests share the cores. Set before torch is loaded; subprocesses inherit it.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("OMP_NUM_THREADS", str(usable_cores() // int(os.getenv("PYTEST_XDIST_WORKER_COUNT", "1")) or 1))

import pytest
import torch
import yaml
from PIL import Image

from fake_runs import METRICS, a_run, a_sweep
from helpers import ssvae, train


def pytest_collection_finish():
    gc.freeze()  # what the imports made need not be looked through after every job of a sweep


@pytest.fixture(scope="session", autouse=True)
def cheap():
    """Hydra reads some fifty files of YAML for every command: a text is parsed once. No folder outlives a power cut."""
    parse, parsed = yaml.load, {}

    def load(stream, Loader):
        text = stream if isinstance(stream, (str, bytes)) else stream.read()
        key = (text, Loader.__qualname__)
        if key not in parsed:
            parsed[key] = parse(text, Loader)
        return copy.deepcopy(parsed[key])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(yaml, "load", load)
        patch.setattr(os, "fsync", lambda file: None)
        yield


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)
    torch.set_default_dtype(torch.float32)


@pytest.fixture(autouse=True)
def undrawn(request, monkeypatch):
    """Runs make their pictures and do not draw them, which is a third of a tiny run's time; `drawn` tests do."""
    if request.node.get_closest_marker("drawn") is None:
        blank = io.BytesIO()
        Image.new("RGB", (8, 8)).save(blank, "PNG")
        for module in ("png", "record"):
            monkeypatch.setattr(f"ssvae_cli.tracking.{module}.png", lambda figure: blank.getvalue())


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """A tiny run of one epoch that has ended; not to be changed."""
    run = tmp_path_factory.mktemp("runs") / "run"
    train(run, "trainer.epochs=1")
    return run


@pytest.fixture
def run(finished, tmp_path):
    """A copy of it, which a test may change."""
    return shutil.copytree(finished, tmp_path / "run")


@pytest.fixture(scope="session")
def reported(tmp_path_factory):
    """(sweep, report): a sweep, of untrained runs; also a failed job, a stopped run, a job that never began."""
    folder = tmp_path_factory.mktemp("report")
    sweep = a_sweep(folder / "sweep")
    stopped = a_run(sweep / "stopped", "prior=vmf", "seed=7", epochs=5)
    (stopped / "summary.json").unlink()
    (sweep / "job" / ".hydra").mkdir(parents=True)
    (sweep / "job" / "failed.txt").write_text("UserError: no | such\nfile_1\n")
    (sweep / ".jobs").mkdir()
    jobs = {0: ("infonce 0", True, None), 1: ("taken", False, "UserError: taken is not empty")}
    for number, (name, own, failed) in jobs.items():
        record = {"number": number, "folder": name, "is_own": own, "failed": failed}
        (sweep / ".jobs" / f"{number}.json").write_text(json.dumps(record))
    hydra = {"job": {"config_name": "train"}, "sweeper": {"_target_": "x.BasicSweeper", "params": None}}
    hydra["overrides"] = {"task": ["prior=infonce", "seed=0,1,2"]}
    (sweep / "multirun.yaml").write_text(json.dumps({"hydra": hydra}))
    assert ssvae("report", f"runs={sweep}", METRICS, f"hydra.run.dir={folder}/out") == 0
    return sweep, folder / "out"
