"""What a command imports: nothing slow before it is needed."""

import json
import os
import pkgutil
import re
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf

from ssvae_cli.compiler import unmarked
from ssvae_cli.instantiate.build import parameters
from ssvae_cli.instantiate.groups import conf
from ssvae_cli.instantiate.signatures import annotation_of

SLOW = ["torch", "torchvision", "sklearn", "scipy", "pandas", "matplotlib", "tensorboard"]

REFUSED = """
import json, os, sys
from hydra.core.global_hydra import GlobalHydra
from ssvae_cli.cli import main as cli
loaded = {}
for line in sys.argv[1:]:
    GlobalHydra.instance().clear()
    sys.argv = ["ssvae", *line.split()]
    try:
        cli.main()
    except SystemExit as stop:
        loaded[line] = [stop.code, "torch" in sys.modules]
print(json.dumps(loaded))
"""

MISTAKES = [  # {npz}: a file that is there, which says what suits it
    # words
    "nope", "train prior=nope", "train encoder=resnet50", "train prior.nope=1", "mi critic=nope",
    # what is not there
    "train dataset=npz dataset.path=nope.npz", "train dataset=mnist dataset.root=nope", "train resume=nope",
    "train init_from=nope", "eval run=.", "mi data=nope.npz",
    # types and ranges; of a sweep, before its first job
    "train trainer.epochs=x", "train dataset=npz dataset.path={npz} trainer.epochs=-1", "train optimizer.lr=0",
    "mi units=nope", "bench bench.rounds=x", "train -m seed=1,x",
]  # fmt: skip

PART = re.compile(r"ssvae_cli|Callable|Any|'laplace'")  # not plain: a part, or a literal of the keys of a dictionary

FIRST_STEP = """
import json, sys
from ssvae_cli.cli import main as cli
from ssvae_cli.optimizers import Optimization
original = Optimization.step
def step(self, at):
    original(self, at)
    names = ["torch._dynamo", *%s]
    print(json.dumps([name for name in names if name in sys.modules]))
    sys.exit(0)
Optimization.step = step
cli.run(sys.argv[1:])
"""

ATTACHED = """
import json, sys, torch
from ssvae_cli.optimizers import LARS, SGD, AdamW, Muon
for kind in (AdamW, SGD, LARS, Muon):
    kind(lr=0.1, weight_decay=0.1, warmup=0.0, clip=None).attach([torch.nn.Linear(2, 3)], 1).step(0)
print(json.dumps("torch._dynamo" in sys.modules))
"""

FIRST_PROBE = """
import json, os
os.environ["OPENBLAS_NUM_THREADS"] = "2"
import torch
from threadpoolctl import threadpool_info
from ssvae_cli.evaluation.linear_probe import LinearProbe
threads, minimise = [], LinearProbe._minimise
def seen(*arguments):
    import scipy.optimize
    threads.extend(pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas")
    return minimise(*arguments)
LinearProbe._minimise = seen
probe = LinearProbe(penalties=[0.1], max_iterations=9, tolerance=1.0, compared=99)
probe.fit(torch.randn(20, 3), torch.arange(20) % 2, 2, [0.1])
print(json.dumps(threads))
"""


def said(program: str, *arguments: str, folder) -> object:
    """What a program prints as its last line, in JSON."""
    command = [sys.executable, "-c", program, *arguments]
    ended = subprocess.run(command, capture_output=True, text=True, cwd=folder, check=False)
    assert ended.stdout, ended.stderr
    return json.loads(ended.stdout.splitlines()[-1])


def test_a_mistake_that_shows_without_torch_is_refused_without_it(tmp_path):
    np.savez(tmp_path / "vectors.npz", x=np.zeros((9, 2)))
    lines = [line.format(npz="vectors.npz") for line in MISTAKES]
    assert said(REFUSED, *lines, folder=tmp_path) == {line: [2, False] for line in lines}
    assert os.listdir(tmp_path) == ["vectors.npz"]


def test_the_first_step_is_taken_before_what_it_does_not_need_is_imported(tmp_path):
    assert said(FIRST_STEP % SLOW, "train", f"hydra.run.dir={tmp_path}/run", folder=tmp_path) == ["torch"]


def test_no_optimizer_loads_the_compiler(tmp_path):
    assert said(ATTACHED, folder=tmp_path) is False


def test_scipys_threads_are_limited_in_the_first_fit_of_a_probe_too(tmp_path):
    """Only a library that is loaded can be limited, and a probe is what loads SciPy."""
    assert set(said(FIRST_PROBE, folder=tmp_path)) == {1}


@pytest.mark.parametrize("kind", [torch.optim.AdamW, torch.optim.SGD])
def test_an_optimizer_without_marks_for_the_compiler_takes_torchs_steps(kind):
    found = []
    for optimizer in (kind, unmarked(kind)):
        weight = torch.nn.Parameter(torch.ones(3))
        steps = optimizer([weight], lr=0.1, weight_decay=0.1)
        for _ in range(3):
            steps.zero_grad()
            (weight**3).sum().backward()
            steps.step()
        found += [weight.detach()]
    assert torch.equal(*found)


def parts(config: dict) -> Iterator[dict]:
    """Every node with a _target_."""
    if "_target_" in config:
        yield config
    for value in config.values():
        if isinstance(value, dict):
            yield from parts(value)


@pytest.mark.parametrize("file", sorted(conf().rglob("*.yaml")), ids=lambda file: file.relative_to(conf()).as_posix())
def test_an_annotation_read_from_source_is_the_one_that_python_reads(file):
    for node in parts(OmegaConf.to_container(OmegaConf.load(file))):
        known = parameters(pkgutil.resolve_name(node["_target_"]))
        for name in known.keys() & node.keys() - {"defaults"}:
            read, annotation = annotation_of(node["_target_"], name), known[name].annotation
            assert read == annotation or read is Any and PART.search(str(annotation)), name
