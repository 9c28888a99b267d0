"""A compiled training step is one graph, and is compiled once.

1. Views and objective, forward and backward, compile without a break, whatever the prior, estimator, encoder and pairs.
2. No later step compiles again: not while a queue fills, nor after evaluation, nor after a short last batch.
3. Estimators that take steps of their own between the graphs are known, and are the only ones.
4. Jobs of one process are each compiled, however many kinds of them there are.
5. A compiled step draws the samples of one that is not: its numbers are the same but for rounding.
6. A machine on which torch's compiler does not work is one line, before anything is written.
"""

import functools

import pytest
import torch
from torch._dynamo import config, reset
from torch._dynamo.exc import Unsupported
from torch._dynamo.utils import counters
from torch._inductor import config as inductor

from helpers import refused, train
from matrix import ALL, BATCH, OWN_STEPS, cases, named, parts, unmet
from ssvae_cli.cli.sweeps import clear_memory
from ssvae_cli.compiler import compiled
from ssvae_cli.training.step import Forward

GROUPS = [
    "prior",
    "estimator",
    "encoder",
    "pairs",
    "posterior",
    "encoder_prime",
    "decoder",
    "prior/critic",
    "prior/mean",
]
BACKEND = "aot_eager" if ALL else "eager"  # the one also traces the backward pass, at twice the time


@pytest.fixture(autouse=True)
def whole_graphs(monkeypatch):
    """torch.compile as far as one graph, not into machine code; it raises at whatever would make a second."""
    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, fullgraph=True, backend=BACKEND))
    reset()
    counters.clear()
    yield
    reset()


def steps(case: list[str], count: int = 4) -> None:
    """Training steps, of which only the first may compile."""
    data, pairs, objective = parts(case)
    forward = Forward(objective, pairs, torch.Generator().manual_seed(0), compile=True)
    for step in range(count):
        with config.patch(error_on_recompile=step > 0):
            elbo = forward(next(data.train.batches(BATCH)))
            (-elbo).backward()
            objective.after_update((step + 1) / count)
        assert elbo.isfinite()


@pytest.mark.parametrize("case", cases() if ALL else cases()[1::2], ids=named)  # all in `make check`
def test_a_step_is_one_graph_and_compiles_once(case):
    steps(case)


@pytest.mark.parametrize("case", OWN_STEPS, ids=named)
def test_only_estimators_with_steps_of_their_own_break_the_graph(case):
    with pytest.raises(Unsupported, match="learn"):
        steps(case, 1)


@pytest.mark.parametrize("group", GROUPS)
def test_the_cases_meet_each_choice_of(group):
    assert not unmet(group)


def test_a_run_compiles_its_views_and_its_objective_once(tmp_path):
    """Two epochs of 450 samples in batches of 200, each followed by a reading on validation."""
    overrides = ["trainer.compile=true", "dataset.limit=450", "trainer.batch_size=200", "evaluation=quick"]
    train(tmp_path / "run", *overrides)
    assert counters["stats"]["unique_graphs"] == 1 + 2  # the first is tried on the machine
    assert len((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()) == 2


def test_a_job_of_a_sweep_is_compiled_after_more_kinds_of_jobs_than_torch_keeps():
    """Past its limit torch runs a function uncompiled, or raises, as it does here."""

    def step(width: int) -> torch.Tensor:
        layer = torch.nn.Linear(width, 1)
        return compiled(lambda x: layer(x).sum(), True)(torch.ones(2, width))

    for width in range(2, 3 + config.recompile_limit):
        clear_memory()
        step(width)
    assert counters["stats"]["unique_graphs"] == 1 + config.recompile_limit


class NotCompiled(RuntimeError):
    """As torch._inductor.exc.InductorError."""

    def __init__(self, said: str):
        super().__init__(f"{type(self).__name__}: {said}")
        self.inner_exception = RuntimeError(said)


@pytest.mark.parametrize("said", ["No working C++ compiler found", "C++ compile error\n\nx.h: error: no Python.h"])
def test_a_machine_where_the_compiler_does_not_work_is_a_line(said, tmp_path, monkeypatch, capfd):
    def compile(part, **options):
        def call(*arguments):
            raise NotCompiled(said)

        return call

    monkeypatch.setattr(torch, "compile", compile)
    line = refused(capfd, "train", "trainer.compile=true", f"hydra.run.dir={tmp_path}/run")
    reason = said.splitlines()[-1]
    assert f"trainer.compile=true: torch's compiler does not work here ({reason}); install g++" in line
    assert line.endswith("or give trainer.compile=false") and not list(tmp_path.iterdir())


COMPILE = torch.compile  # before `whole_graphs`


@pytest.mark.skipif(not ALL, reason="6 s of torch's compiler: in `make check`")
def test_a_compiled_function_draws_what_it_would_draw_uncompiled(monkeypatch):
    monkeypatch.setattr(torch, "compile", COMPILE)
    monkeypatch.setattr(inductor, "fallback_random", False)
    drawn = []
    for part in (torch.randn, compiled(lambda *shape: torch.randn(*shape), True)):
        torch.manual_seed(0)
        drawn.append(part(2, 3))
    assert torch.equal(*drawn)
