"""What a trained encoder serves for: pair scores, retrieval, few labels, the start of another run.

1. The score of a pair is log P(z, z') / (Q(z) Q(z')), and its mean over test is about the ELBO.
2. Recall at k counts, of both sides, whose own partner is among the k of highest score; constant scores find nothing.
3. A share of the labels is the same share of every class.
4. init_from=RUN begins with the encoder of a run; another encoder is a line.
"""

import json
import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch.distributions import MultivariateNormal, Normal

from helpers import composed, normal_pairs, refused, ssvae, train
from ssvae_cli.critics import Critic
from ssvae_cli.embed import embed
from ssvae_cli.encoders.pretrained import load_fitting
from ssvae_cli.errors import UserError
from ssvae_cli.evaluation.explicit import Explicit
from ssvae_cli.evaluation.few_labels import FewLabels
from ssvae_cli.evaluation.linear_probe import LinearProbe, accuracy
from ssvae_cli.evaluation.pair_scores import pair_scores, table
from ssvae_cli.evaluation.retrieval import KEYS, Retrieval, recall
from ssvae_cli.evaluation.rows import labelled_share
from ssvae_cli.priors import Encoded
from ssvae_cli.priors.energy import Energy
from ssvae_cli.priors.infonce import InfoNCE
from ssvae_cli.priors.mi import MI
from ssvae_cli.priors.unspecified import Unspecified
from ssvae_cli.tracking.missing import Missing
from ssvae_cli.training.initial import begin_from

RHO = 0.8


class Optimal(Critic):
    """log Q(z, z') / (Q(z) Q(z')) of normal pairs, and a constant, which a normaliser removes."""

    def table(self, z, z_prime):
        return self.pairs(z[:, None], z_prime[None])

    def pairs(self, z, z_prime):
        both = torch.cat(torch.broadcast_tensors(z, z_prime), -1)
        joint = MultivariateNormal(both.new_zeros(2), both.new_tensor([[1, RHO], [RHO, 1]]))
        return joint.log_prob(both) - Normal(both.new_zeros(()), 1.0).log_prob(both).sum(-1) + 7.0


@pytest.mark.parametrize("direction", ["forward", "backward", "both"])
@pytest.mark.parametrize("kind", [InfoNCE, Energy, MI])
def test_the_score_of_a_pair_is_its_log_density_ratio(kind, direction):
    generator = torch.Generator().manual_seed(0)
    pairs, sources = (normal_pairs(count, 1, RHO, generator) for count in (50, 2000))
    reading = SimpleNamespace(
        objective=SimpleNamespace(prior=kind(critic=Optimal(), direction=direction)),
        latents=lambda split, views, at_most: sources,
        data=SimpleNamespace(splits={"test": None}),
        encoded=lambda split, generator: [(Encoded(pairs, ()), None)],
        generator=lambda split: None,
    )
    off = pair_scores(reading, "test") - (Optimal().pairs(*pairs) - 7.0)
    assert off.abs().mean() < 0.1, "as far as 2000 samples are the law"


class Uneven(Optimal):
    """With factors of z and of z' alone, so that every anchor has a normaliser of its own."""

    def pairs(self, z, z_prime):
        return super().pairs(z, z_prime) + 3 * z.sum(-1) - z_prime.square().sum(-1)


@pytest.mark.parametrize("direction", ["forward", "backward", "both"])
@pytest.mark.parametrize("kind", [InfoNCE, Energy, MI])
def test_retrieval_ranks_by_the_score_of_a_pair(kind, direction):
    generator = torch.Generator().manual_seed(0)
    (z, z_prime), sources = (normal_pairs(count, 1, RHO, generator) for count in (8, 200))
    prior = kind(critic=Uneven(), direction=direction)
    reading = SimpleNamespace(
        objective=SimpleNamespace(prior=prior),
        latents=lambda split, views, at_most: (z, z_prime) if split == "test" else sources,
    )
    for i, row in enumerate(table(reading, "test", 8)):
        assert torch.allclose(row, prior.pair_scores((z[i : i + 1].expand(8, 1), z_prime), sources))


def test_constant_scores_find_nothing_and_the_diagonal_finds_all():
    assert recall(torch.zeros(20, 20), 10) == 0
    assert recall(torch.eye(20), 1) == 1
    scores = torch.tensor([[1.0, 2.0, 0.0], [0.0, 1.0, 0.0], [5.0, 5.0, 4.0]])
    assert [recall(scores, k) for k in (1, 2, 3)] == pytest.approx([1 / 3, 2 / 3, 1])


@pytest.fixture(scope="module")
def paired(tmp_path_factory):
    """(A run on pairs, x' nearly a function of x, its summary)."""
    folder = tmp_path_factory.mktemp("paired")
    z, e = np.random.default_rng(0).normal(size=(2, 400, 3)).astype(np.float32)
    np.savez(folder / "pairs.npz", x=z, x2=z + 0.1 * e)
    settings = ["dataset=paired", f"dataset.path={folder}/pairs.npz", "prior=infonce", "prior/critic=rbf"]
    settings += ["encoder=linear", "encoder_prime=shared", "encoder.latent_dim=3", "trainer.epochs=1"]
    settings += ["trainer.device=cpu", "trainer.batch_size=64", "evaluation=quick", "evaluation.test=true"]
    settings += ["+metric@evaluation.metrics.retrieval=retrieval"]
    assert ssvae("train", *settings, f"hydra.run.dir={folder}/run") == 0
    return folder / "run", json.loads((folder / "run" / "summary.json").read_text())


def test_a_table_of_scores_has_those_of_the_pairs_on_its_diagonal():
    """Of an explicit prior, log P of all combinations and log Q of each side once."""
    z, z_prime = latents = normal_pairs(6, 2, RHO, torch.Generator().manual_seed(0))
    explicit = Explicit.__new__(Explicit)
    log_q = lambda side: lambda context, y: Normal(0.0, 1.0 + side).log_prob(y).sum(1)
    explicit.prior = SimpleNamespace(
        entropies=lambda joint: {(0,): 1, (1,): 1},
        log_density=lambda latents: -(latents[0] - latents[1]).square().sum(1),
    )
    explicit.densities = SimpleNamespace(density=lambda side, given: log_q(side))
    table = explicit.table(latents)
    assert torch.allclose(table.diagonal(), explicit.log_ratio_to_marginals(latents))
    assert table[2, 4] == pytest.approx(explicit.log_ratio_to_marginals((z[2:3], z_prime[4:5])).item())


def test_paired_data_have_recall_and_other_data_have_null(paired, finished):
    found = [paired[1][key] for key in KEYS]
    assert found[:3] == sorted(found[:3]) and found[3:] == sorted(found[3:])
    assert found[0] > 0.5 and found[3] > 0.5, "chance finds one in forty"
    other = json.loads((finished / "summary.json").read_text())
    assert all(other[key] is None for key in KEYS)


def test_embed_writes_scores_whose_mean_is_about_the_elbo(paired, tmp_path):
    run, summary = paired
    assert ssvae("embed", f"run={run}", "score=pair", f"hydra.run.dir={tmp_path}/own") == 0
    arrays = np.load(tmp_path / "own" / "embeddings.npz")
    assert all(len(arrays[f"score_{split}"]) == len(arrays[f"z_{split}"]) for split in ("train", "validation", "test"))
    error = 4 * arrays["score_test"].std() / math.sqrt(len(arrays["score_test"]))
    assert abs(arrays["score_test"].mean() - summary["elbo/test"]) < error + 0.5


def test_pairs_have_scores_under_a_prior_of_categories(tmp_path):
    """Finite, where a density of its K dependent coordinates would be none."""
    train(tmp_path / "run", "prior=categorical", "trainer.epochs=1", "evaluation=none")
    assert ssvae("embed", f"run={tmp_path}/run", "score=pair", f"hydra.run.dir={tmp_path}/own") == 0
    assert np.isfinite(np.load(tmp_path / "own" / "embeddings.npz")["score_test"]).all()


@pytest.mark.parametrize(
    "words, said",
    [
        (["score=pairs"], "score=pairs is not a choice; allowed: null, pair"),
        (["score=pair", "export=pt2"], "score=pair is of features as .npz; leave out export"),
    ],
)
def test_a_wrong_score_is_one_line(words, said, tmp_path):
    with pytest.raises(UserError, match=said):
        embed(composed("run=nowhere", *words, command="embed"), tmp_path, {})


def test_without_a_prior_there_is_no_score():
    latents = lambda *_: (torch.zeros(9, 2),) * 2
    reading = SimpleNamespace(latents=latents, objective=SimpleNamespace(prior=Unspecified()))
    assert pair_scores(reading, "test") == table(reading, "test", 9) == Missing(Unspecified.no_elbo)


def test_retrieval_passes_on_why_there_are_no_densities():
    reading = SimpleNamespace(
        data=SimpleNamespace(shape_prime=(3,), test=range(9)),
        latents=lambda *_: (torch.zeros(9, 2),) * 2,
        explicit=lambda: Missing("H(z) = -inf"),
        objective=SimpleNamespace(prior=SimpleNamespace(needs_densities=True, no_elbo=None, space=None)),
    )
    assert set(Retrieval(candidates=9)(reading, "test").values()) == {Missing("H(z) = -inf")}


def test_a_share_of_the_labels_is_that_of_every_class_and_at_least_one():
    labels = torch.tensor([0] * 200 + [1] * 100 + [2] * 5 + [-1] * 50)
    rows = labelled_share(labels, 0.1, seed=0)
    assert labels[rows].bincount().tolist() == [20, 10, 1] and (rows.diff() > 0).all()
    assert not torch.equal(rows, labelled_share(labels, 0.1, seed=1))


def test_few_labels_are_read_and_more_do_not_harm():
    generator = torch.Generator().manual_seed(0)
    y = torch.arange(3).repeat(100)
    x = torch.eye(3).repeat(100, 1) + 0.6 * torch.randn(300, 3, generator=generator)
    reading = SimpleNamespace(
        features=lambda split: x,
        labels=lambda split: y,
        data=SimpleNamespace(splits=("train", "validation", "test")),
        has_labels=lambda: True,
        too_few_classes=lambda split: None,
    )
    probe = LinearProbe(penalties=[0.1], max_iterations=50, tolerance=1e-3, compared=1000)
    one, ten = FewLabels(probe=probe, shares=[0.01, 0.1], draws=3)(reading, "test").values()
    whole = FewLabels(probe=probe, shares=[1.0], draws=1)(reading, "test")["probe/linear_100_percent/test"]
    assert 1 / 3 < one < ten <= whole < 1
    probe.compared = 9  # rows that choose the penalty, and no fewer labels
    assert FewLabels(probe=probe, shares=[1.0], draws=1)(reading, "test")["probe/linear_100_percent/test"] == whole
    on_nine, _ = probe.choose((x, y), (x, y))
    assert accuracy(on_nine.weights, x, y) < whole


def test_a_run_begins_with_the_encoder_of_another(finished, tmp_path):
    train(tmp_path / "run", "trainer.epochs=0", "evaluation=none", f"init_from={finished}", "seed=5", "prior=mi")
    weights = [load_file(run / "encoder.safetensors") for run in (finished, tmp_path / "run")]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


def test_another_encoder_is_one_line_and_nothing_is_written(finished, tmp_path, capfd):
    words = ["encoder.backbone.width=16", f"init_from={finished}", f"hydra.run.dir={tmp_path}/run"]
    line = refused(capfd, "train", *words)
    assert "encoder.backbone.layers.0.weight is [8, 1, 3, 3] there and [16, 1, 3, 3] here; give the encoder" in line
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "there, said",
    [
        ({"weight": torch.zeros(2, 3)}, "run=R has no g.bias; give another"),
        ({"weight": torch.zeros(2, 3), "bias": torch.zeros(2), "more": torch.zeros(1)}, "run=R has g.more, which"),
        ({"weight": torch.zeros(2, 4), "bias": torch.zeros(2)}, r"g.weight is \[2, 4\] there and \[2, 3\] here"),
    ],
)
def test_the_first_weight_that_does_not_fit_is_named_and_none_is_loaded(there, said):
    layer = torch.nn.Linear(3, 2)
    before = layer.weight.clone()
    with pytest.raises(UserError, match=said):
        load_fitting(layer, there, "run=R", "give another", "g.")
    assert torch.equal(layer.weight, before)


@pytest.mark.parametrize("made, said", [(False, "no such folder"), (True, "no checkpoint there")])
def test_a_folder_without_a_run_is_one_line(made, said, tmp_path):
    (tmp_path / "run").mkdir() if made else None
    with pytest.raises(UserError, match=said):
        begin_from(None, str(tmp_path / "run"))
