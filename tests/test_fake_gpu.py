"""A GPU that is not there: whole training steps on torch's fake tensors, which believe they are on another device.

1. Views, ELBO, gradient and update, with the NaN guard, of every prior, estimator, encoder and pair generator: a tensor
   made on the CPU raises, and so does every number that Python would have to wait for.
2. What training reads of the device, it reads where it says so.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from torch.utils import backend_registration

from matrix import named
from programs.fake_gpu import CASES, WAITS

KNOWN = hasattr(backend_registration, "_setup_privateuseone_for_python_backend")
pytestmark = pytest.mark.skipif(not KNOWN, reason="this torch has no devices in Python; 2.9 and later have")


@pytest.fixture(scope="module")
def outcomes():
    """{case: what programs/fake_gpu.py says of its step}."""
    tests = Path(__file__).parent
    command = [sys.executable, tests / "programs" / "fake_gpu.py"]
    done = subprocess.run(command, env=os.environ | {"PYTHONPATH": str(tests)}, stdout=subprocess.PIPE, check=True)
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("case", CASES, ids=named)
def test_nothing_in_a_step_waits_for_the_device(case, outcomes):
    assert outcomes[named(case)] == ""


def test_what_is_known_to_wait_is_seen(outcomes):
    """Views from the law vmf, which is sampled by rejection."""
    assert outcomes[named(WAITS)].startswith("DataDependentOutputException")
