"""Negatives of sequences: other sequences, other times of the same one, or both.

1. Such scores answer as a table in which each anchor has candidates of its own, whatever form the others have.
2. Other times are no step of the pair, and any other within the length.
3. A prior of scores uses them in training; what cannot is refused in one line.
"""

import math

import pytest
import torch

from helpers import refused
from ssvae_cli.critics import Bilinear
from ssvae_cli.datasets import Data, Split
from ssvae_cli.errors import UserError
from ssvae_cli.estimators import DV, NWJ, InfoNCE, LeaveOneOut, Queue
from ssvae_cli.pairs.base import Identity
from ssvae_cli.pairs.context import Context
from ssvae_cli.pairs.window import Window
from ssvae_cli.priors import Encoded
from ssvae_cli.priors import InfoNCE as InfoNCEPrior
from ssvae_cli.scores import DenseScores, in_batch
from ssvae_cli.scores.other_times import OtherTimes

B, K = 5, 3


def table():
    g = torch.Generator().manual_seed(0)
    scores = torch.randn(B, B, dtype=torch.float64, generator=g)
    return scores, torch.randn(B, K, dtype=torch.float64, generator=g)


@pytest.mark.parametrize("besides", [False, True], ids=["within", "both"])
def test_the_candidates_of_each_anchor_are_its_own_times_with_or_without_the_other_sequences(besides):
    scores, times = table()
    found = OtherTimes(DenseScores(scores), times, besides=besides)
    rows = []
    for i in range(B):
        others = [scores[i, j] for j in range(B) if j != i] if besides else []
        rows.append(torch.stack([*others, *times[i]]))
    apart, every = torch.stack([row.exp().mean().log() for row in rows]), torch.cat(rows)
    among = torch.stack([torch.cat([row, scores[i, i, None]]).exp().mean().log() for i, row in enumerate(rows)])
    assert torch.allclose(found.log_partition(positive=False), apart)
    assert torch.allclose(found.log_partition(positive=True), among)
    assert found.candidates == 1 + len(rows[0]) and torch.equal(found.positives, scores.diagonal())
    assert torch.allclose(found.log_partition_all(), every.exp().mean().log())
    assert torch.allclose(found.log_partition_all(0.5), every.clamp(-0.5, 0.5).exp().mean().log())
    assert torch.allclose(found.softplus_all(), torch.nn.functional.softplus(every).mean())
    for estimator in (InfoNCE(), LeaveOneOut(), DV(), NWJ()):
        assert math.isfinite(estimator(found).item())


def encoded(times):
    torch.manual_seed(0)
    z, z_prime, *others = torch.randn(2 + K, B, 4, requires_grad=True).unbind()
    return Encoded((z, z_prime), (None, None), tuple(others) if times else ())


@pytest.mark.parametrize("tiled", [False, True], ids=["dense", "in tiles"])
@pytest.mark.parametrize("negatives", ["within", "both"])
def test_a_prior_of_scores_is_normalised_over_them_in_training(negatives, tiled, monkeypatch):
    monkeypatch.setattr(in_batch, "TILED_ABOVE", 0 if tiled else 10**9)
    prior, batch = InfoNCEPrior(critic=Bilinear(latent_dim=4), direction="forward", negatives=negatives), encoded(True)
    value = prior.elbo(InfoNCE(), batch)
    (z, z_prime), rows = batch.latents, []
    for i in range(B):
        own = [other[i] for other in batch.times]
        candidates = torch.stack([z_prime[i], *own, *(z_prime[j] for j in range(B) if j != i and negatives == "both")])
        rows.append(prior.critic(z[i, None], candidates)[0].log_softmax(0)[0] + math.log(len(candidates)))
    assert torch.allclose(value, torch.stack(rows).mean(), atol=1e-6)
    (slope,) = torch.autograd.grad(value, batch.times[0])
    assert slope.abs().sum() > 0
    across = InfoNCEPrior(critic=prior.critic, direction="forward")
    without = (prior, across)
    assert len({p.elbo(InfoNCE(), encoded(False)).item() for p in without}) == 1, "in evaluation there are none"


def test_past_latents_stay_among_the_candidates_of_other_sequences():
    estimator = Queue(size=7, latent_dim=4).train()
    prior = InfoNCEPrior(critic=Bilinear(latent_dim=4), direction="forward", negatives="both")
    prior.elbo(estimator, encoded(True))
    seen = []
    estimator.forward = lambda scores: seen.append(scores.candidates) or scores.positives.mean()
    prior.elbo(estimator, encoded(True))
    assert seen == [B + B + K]


@pytest.mark.parametrize("kind", ["window", "context"])
def test_other_times_are_any_step_of_the_sequence_but_those_of_the_pair(kind):
    x = torch.arange(8.0)[None, :, None].repeat(600, 1, 1)
    rows = Split(x, torch.zeros(600, dtype=torch.long), length=torch.tensor([8, 6] * 300))
    common = {"then": Identity(), "negatives": "within", "times": 4}
    pairs = Window(length=2, step=1, read="last", **common)
    if kind == "context":
        pairs = Context(window=2, ahead=1, future=None, **common)
    assert len(pairs.shapes(Data(rows, rows, rows))) == 2, "they are no views of the prior"
    x, x_prime, *others = (view[..., 0] for view in pairs(rows, torch.Generator().manual_seed(0)))
    others = torch.stack(others, 1)
    assert others.shape == (600, 4) and not (others == x_prime[:, None]).any()
    if kind == "window":
        assert not (others == x[:, None]).any()
    assert set(others[0::2].flatten().tolist()) == set(range(8)) and others[1::2].max() == 5


def test_what_other_times_cannot_serve_is_refused(tmp_path, capfd):
    with pytest.raises(UserError, match="direction must be forward with pairs.negatives=both"):
        InfoNCEPrior(critic=Bilinear(latent_dim=4), direction="both", negatives="both")
    with pytest.raises(UserError, match="times must be at least 1"):
        Window(length=2, step=1, read=None, then=Identity(), negatives="within", times=0)
    with pytest.raises(UserError, match="negatives=within are single steps: future must be null, got 2"):
        Context(window=2, ahead=1, future=2, then=Identity(), negatives="within")
    words = ["dataset=latents", "dataset.steps=6", "dataset.train=40", "dataset.test=20", "dataset.validation=20"]
    words += ["pairs=window", "pairs.length=2", "pairs.negatives=both", "encoder.backbone.hidden=[8]"]
    said = refused(capfd, "train", *words, "prior=gaussian", f"hydra.run.dir={tmp_path}/run")
    assert "pairs.negatives=both says what a critic's candidates are, and prior=gaussian takes none; allowed" in said
