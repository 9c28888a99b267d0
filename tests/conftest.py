import os

import pytest
import torch

torch.set_num_threads(int(os.environ.setdefault("OMP_NUM_THREADS", "2")))  # and those of subprocesses


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)
