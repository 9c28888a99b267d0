"""Scores: every form answers as the dense table does.

1. In tiles: value and gradient of every estimator, 1e-5 relative in float32, 1e-10 in float64.
2. Memory does not grow with the square of the batch; a critic that cannot be tiled is refused where it would.
"""

import contextlib
import copy
import subprocess
import sys

import pytest
import torch

from ssvae_cli.critics import (
    AT_ONCE,
    MLP,
    RBF,
    Bilinear,
    BilinearBias,
    Cosine,
    DiagonalRBF,
    Laplace,
    Separable,
    Student,
)
from ssvae_cli.errors import UserError
from ssvae_cli.priors import InfoNCE as InfoNCEPrior
from ssvae_cli.priors import scored
from ssvae_cli.scores import DenseScores, Past, TiledScores, in_batch, in_batch_scores, tile_sums
from test_estimators import ALL

CRITICS = {
    "bilinear": lambda: Bilinear(latent_dim=6),
    "bilinear_bias": lambda: BilinearBias(latent_dim=6, hidden=[8]),
    "cosine": lambda: Cosine(temperature=0.2, learn_temperature=True),
    "rbf": lambda: RBF(bandwidth=1.5),
    "diagonal_rbf": lambda: DiagonalRBF(bandwidth=1.5, latent_dim=6),
    "student": lambda: Student(df=2.0, scale=1.5),
    "laplace": lambda: Laplace(scale=1.5),
    "separable": lambda: Separable(latent_dim=6, hidden=[8], embedding_dim=4),
}


def value_and_gradients(tiled, monkeypatch, estimator, critic, direction, past, dtype):
    """Of an estimate on one batch; the gradient is with respect to z, z' and the critic."""
    monkeypatch.setattr(in_batch, "TILED_ABOVE", 0 if tiled else 10**9)
    monkeypatch.setitem(tile_sums.SIDE, "cpu", 4)  # 11 rows: three tiles, the last not full
    numbers = torch.Generator().manual_seed(1)
    z, z_prime = (torch.randn(11, 6, dtype=dtype, generator=numbers).requires_grad_() for _ in range(2))
    further = tuple(torch.randn(5, 6, dtype=dtype, generator=numbers) for _ in range(2))
    past = Past(further, torch.tensor([True, True, False, True, False])) if past else None
    critic, estimator = copy.deepcopy(critic).to(dtype), copy.deepcopy(estimator).to(dtype)
    scored = in_batch_scores(critic, z, z_prime, direction, past)
    assert {type(s) for s in scored} == {TiledScores if tiled else DenseScores}
    value = sum(estimator(s) for s in scored) / len(scored)
    return [value.detach(), *torch.autograd.grad(value, [z, z_prime, *critic.parameters()])]


@pytest.mark.parametrize("dtype, tolerance", [(torch.float32, 1e-5), (torch.float64, 1e-10)], ids=str)
@pytest.mark.parametrize("estimator", ALL, ids=lambda e: e.name)
def test_tiles_give_the_value_and_the_gradient_of_the_dense_table(estimator, dtype, tolerance, monkeypatch):
    for critic in (Cosine(temperature=0.2), RBF(bandwidth=1.5)):
        for direction, past in [("both", False), ("forward", False), ("backward", True), ("both", True)]:
            case = (monkeypatch, estimator, critic, direction, past, dtype)
            tiled, dense = value_and_gradients(True, *case), value_and_gradients(False, *case)
            assert abs(tiled[0] - dense[0]) <= tolerance  # a difference of terms of order one
            for one, other in zip(tiled[1:], dense[1:]):
                assert (one - other).norm() <= tolerance * other.norm().clamp_min(0.1), (critic, direction, past)


@pytest.mark.parametrize("estimator", ALL, ids=lambda e: e.name)
def test_absent_candidates_are_as_if_they_were_not_in_the_table(estimator):
    table, present = torch.randn(4, 9, dtype=torch.float64), torch.tensor([True] * 5 + [False, True, True, False])
    of_present = copy.deepcopy(estimator)(DenseScores(table[:, present]))
    table[:, ~present] = 1000.0
    if estimator.name != "eq3":  # it keeps no past
        assert abs(copy.deepcopy(estimator)(DenseScores(table, present)) - of_present) < 1e-10


@pytest.mark.parametrize("name", CRITICS)
def test_every_inner_product_and_distance_can_be_tiled(name, monkeypatch):
    case = (monkeypatch, ALL[0], CRITICS[name](), "both", False, torch.float64)
    for tiled, dense in zip(value_and_gradients(True, *case), value_and_gradients(False, *case)):
        assert (tiled - dense).norm() <= 1e-10 * dense.norm().clamp_min(1e-3)


def test_tiles_stay_in_float32_under_autocast(monkeypatch):
    monkeypatch.setattr(in_batch, "TILED_ABOVE", 0)
    critic, z = Cosine(temperature=0.2), torch.randn(2, 9, 6)
    with torch.autocast("cpu", torch.bfloat16):
        partition = in_batch_scores(critic, *z, "forward")[0].log_partition(positive=True)
    assert torch.equal(partition, in_batch_scores(critic, *z, "forward")[0].log_partition(positive=True))


MEASURE = """
import torch
from ssvae_cli.critics import Cosine
from ssvae_cli.estimators import InfoNCE
from ssvae_cli.device import peak
from ssvae_cli.scores import in_batch_scores
B, cpu = {batch}, torch.device("cpu")
z, z_prime = (torch.randn(B, 128).requires_grad_() for _ in range(2))
def step(n):
    scored = in_batch_scores(Cosine(temperature=0.1), z[:n], z_prime[:n], "both")
    (sum(InfoNCE()(s) for s in scored) / 2).backward()
step(64)
z.grad = z_prime.grad = None
before = peak(cpu)
step(B)
print((peak(cpu) - before) / 2**20)
"""


def test_a_batch_of_8192_takes_a_small_part_of_the_memory_of_its_table():
    """The table alone is 256 MiB, and dense scores keep several of its size."""
    measure = [sys.executable, "-c", MEASURE.format(batch=8192)]
    done = subprocess.run(measure, capture_output=True, text=True, check=True)
    assert float(done.stdout) < 128, "MiB above the embeddings"


def test_a_critic_that_needs_the_table_is_refused_above_the_memory():
    device = torch.device("cpu")
    prior = InfoNCEPrior(critic=MLP(latent_dim=8, hidden=[256]), direction="both")
    prior.require_memory(64, device)
    words = "trainer.batch_size=1000000: prior/critic=mlp .* allowed: a smaller batch, or"
    with pytest.raises(UserError, match=words):
        prior.require_memory(10**6, device)
    InfoNCEPrior(critic=Bilinear(latent_dim=8), direction="both").require_memory(10**6, device)


@pytest.mark.parametrize(
    "tables, settings",
    [
        (1, {}),
        (2, {"dtype": torch.float64}),
        (2, {"processes": 4}),  # which share one memory, and compute a table for each direction
        (0.5, {"processes": 4, "device": "cuda"}),
        (0.25, {"processes": 4, "device": "cuda", "direction": "forward"}),
    ],
)
def test_the_table_is_of_the_runs_floats_and_divided_among_the_gpus(tables, settings, monkeypatch):
    critic, device = MLP(latent_dim=2, hidden=[4]), torch.device(settings.get("device", "cpu"))
    needed = tables * 4 * 8**2 * critic.stored_per_score
    monkeypatch.setattr(scored, "world_size", lambda: settings.get("processes", 1))
    monkeypatch.setattr(torch, "get_default_dtype", lambda: settings.get("dtype", torch.float32))
    prior = InfoNCEPrior(critic=critic, direction=settings.get("direction", "both"))
    for have, fits in ((needed, True), (needed - 1, False)):
        monkeypatch.setattr(scored, "capacity", lambda _, have=have: have)
        with contextlib.nullcontext() if fits else pytest.raises(UserError):
            prior.require_memory(8, device)


def test_a_large_table_without_gradient_is_scored_some_rows_at_a_time(monkeypatch):
    """As of 1024 anchors against all test sources, which a concat critic would need 10 GB for."""
    monkeypatch.setitem(AT_ONCE, "cpu", 10_000)
    critic, z, z_prime, sizes = MLP(latent_dim=3, hidden=[8]), torch.randn(50, 3), torch.randn(100, 3), []
    whole = critic(z, z_prime)
    table = MLP.table
    monkeypatch.setattr(MLP, "table", lambda self, *sides: sizes.append(len(sides[0])) or table(self, *sides))
    with torch.no_grad():
        assert torch.allclose(critic(z, z_prime), whole)
    assert sum(sizes) == 50 and max(sizes) * len(z_prime) * critic.stored_per_score <= 10_000
