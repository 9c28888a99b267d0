import os
import shutil

# Parallel tests have a thread each. Set before torch counts its threads; subprocesses inherit it.
os.environ["OMP_NUM_THREADS"] = "1" if "PYTEST_XDIST_WORKER" in os.environ else "2"

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # threads that wait leave the core to the other tests

import pytest
import torch

from helpers import train


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)
    torch.set_default_dtype(torch.float32)


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
