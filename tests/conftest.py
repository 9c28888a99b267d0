import os
import shutil

import pytest
import torch

from helpers import train

torch.set_num_threads(int(os.environ.setdefault("OMP_NUM_THREADS", "2")))  # and those of subprocesses


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """A tiny run of one epoch, come to its end; not to be changed."""
    run = tmp_path_factory.mktemp("runs") / "run"
    train(run, "trainer.epochs=1")
    return run


@pytest.fixture
def run(finished, tmp_path):
    """The same, of one's own."""
    return shutil.copytree(finished, tmp_path / "run")
