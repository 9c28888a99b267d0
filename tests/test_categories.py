"""Categories: a table P(c, c'), exact expectations, exact entropies.

1. The training objective, and what test says, are sums over all pairs of categories, written out here.
2. The table is a distribution with the marginals that it claims, and its samples are of it.
3. Supervised pairs of digits bring the classes back.
"""

import itertools
import math
from functools import partial
from statistics import fmean
from types import SimpleNamespace

import pytest
import torch

from helpers import composed
from ssvae_cli.datasets.base import CONTRACT
from ssvae_cli.errors import UserError
from ssvae_cli.estimators import Frequencies
from ssvae_cli.evaluation import categories
from ssvae_cli.evaluation.categories import Categories
from ssvae_cli.evaluation.cluster_accuracy import ClusterAccuracy, matched_accuracy
from ssvae_cli.evaluation.eq23 import of_categories
from ssvae_cli.evaluation.knn import KNN
from ssvae_cli.evaluation.reading import Reading
from ssvae_cli.instantiate.build import build
from ssvae_cli.objective import make_objective
from ssvae_cli.optimizers import AdamW
from ssvae_cli.pairs.base import make_pairs
from ssvae_cli.priors import Categorical, Encoded

K, N = 4, 30


def prior_of(uniform: bool, **options) -> Categorical:
    prior = Categorical(latent_dim=K, agreement=0.7, uniform=uniform, learn=True, **options).double()
    torch.manual_seed(1)
    prior.logits.data += torch.randn(K, K, dtype=torch.float64)
    return prior


def probabilities() -> tuple[torch.Tensor, torch.Tensor]:
    logits = torch.randn(2, N, K, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    return tuple(logits.mul(2).softmax(2).unbind())


def enumerated(prior: Categorical, z: torch.Tensor, z_prime: torch.Tensor) -> dict[str, float]:
    """Eq. 23 by loops over pairs of categories."""
    p = prior.log_table.exp().detach()
    q = torch.zeros(K, K, dtype=torch.float64)
    for row, row_prime in zip(z, z_prime):
        q += torch.outer(row, row_prime) / len(z)
    q_of_c, q_of_c_prime = q.sum(1), q.sum(0)
    if prior.marginal == "encoder":
        p = q_of_c[:, None] * p / p.sum(1, keepdim=True)
    of = dict.fromkeys(("elbo", "information", "kl", "marginal"), 0.0)
    for c, c_prime in itertools.product(range(K), range(K)):
        independent = q_of_c[c] * q_of_c_prime[c_prime]
        of["elbo"] += (q[c, c_prime] * (p[c, c_prime] / independent).log()).item()
        of["information"] += (q[c, c_prime] * (q[c, c_prime] / independent).log()).item()
        of["kl"] += (q[c, c_prime] * (q[c, c_prime] / p[c, c_prime]).log()).item()
    of["marginal"] = (q_of_c * (q_of_c / p.sum(1)).log()).sum().item()
    return of


@pytest.mark.parametrize("joint", [False, True])
@pytest.mark.parametrize("marginal", ["own", "encoder"])
@pytest.mark.parametrize("uniform", [True, False])
def test_training_and_test_read_the_sums_over_all_pairs_of_categories(uniform, marginal, joint, monkeypatch):
    monkeypatch.setattr(categories, "AT_ONCE", 7 * K**2)  # several chunks, the last of them shorter
    prior, both = prior_of(uniform, marginal=marginal), probabilities()
    expected, read = enumerated(prior, *both), Categories(prior, both, joint)
    if joint:
        expected["elbo"] = -expected["kl"]
    value = prior.elbo(Frequencies(), Encoded(both, (None, None)), joint).item()
    assert value == pytest.approx(expected["elbo"], abs=1e-9)
    assert expected["elbo"] == pytest.approx((not joint) * expected["information"] - expected["kl"], abs=1e-9)
    found = {"elbo": read.elbo(), "information": read.information(), "kl": read.divergence()}
    found["marginal"] = read.marginal_divergence()
    without = [enumerated(prior, *(side[torch.arange(N) != i] for side in both)) for i in range(N)]
    for name, of_all in expected.items():
        of_rest = [-part["kl"] if joint and name == "elbo" else part[name] for part in without]
        assert found[name].value == pytest.approx(N * of_all - (N - 1) * fmean(of_rest), abs=1e-9), "a jackknife"
    assert read.evidence() > found["elbo"].value  # Jensen, strictly for soft categories
    values = of_categories(read, read.elbo())
    assert values["eq23/residual"] == pytest.approx(0.0, abs=1e-9) and values["kl/source"] == "exact sums"
    assert values["eq23/residual_in_errors"].reason == "both sides are exact sums"
    assert values["kl/marginal/test"] + values["kl/conditional/test"] == pytest.approx(values["kl/test"], abs=1e-9)


@pytest.mark.parametrize("joint", [False, True])
def test_the_score_of_a_pair_is_the_sum_over_categories_whatever_the_decoder(joint):
    prior, (z, z_prime) = prior_of(False), probabilities()
    read, p = Categories(prior, (z, z_prime), joint), prior.log_table.exp().detach()
    ratio = p / torch.outer(z.mean(0), z_prime.mean(0))
    exact = sum(z[3, c] * z_prime[5, k] * ratio[c, k] for c, k in itertools.product(range(K), range(K))).log()
    assert torch.allclose(read.score_table(z, z_prime)[3, 5], exact, atol=1e-9)
    assert torch.allclose(read.score_table(z, z_prime).diagonal(), read.scores(z, z_prime), atol=1e-9)


@pytest.mark.parametrize("joint", [False, True])
def test_a_category_that_is_never_used_has_a_gradient_and_leaves_the_numbers_finite(joint):
    logits = torch.randn(N, K, generator=torch.Generator().manual_seed(0))
    logits[:, -1] = -200.0  # whose probability float32 cannot hold
    z = logits.requires_grad_().softmax(1)
    prior = prior_of(True).float()
    prior.elbo(Frequencies(), Encoded((z, z), (None, None)), joint).backward()
    assert logits.grad.isfinite().all() and logits.grad.abs().sum() > 0
    read = Categories(prior, (z.detach(), z.detach()), joint)
    assert math.isfinite(read.evidence()) and read.evidence() > read.elbo().value


def test_the_error_of_the_elbo_is_that_of_other_pairs():
    """The spread of the ELBO over independent sets of pairs is the stated error."""
    prior, g = prior_of(False), torch.Generator().manual_seed(0)
    values, errors = [], []
    for _ in range(200):
        logits = torch.randn(400, K, dtype=torch.float64, generator=g)
        pair = (logits.mul(2).softmax(1), (logits + torch.randn(400, K, generator=g)).mul(2).softmax(1))
        elbo = Categories(prior, pair).elbo()
        values.append(elbo.value), errors.append(elbo.error)
    assert torch.tensor(values).std().item() == pytest.approx(sum(errors) / 200, rel=0.2)


@pytest.mark.parametrize("count", [40, 400])
def test_the_intervals_of_independent_categories_hold_0(count):
    """Of the sums alone none would: they read I = (K - 1)^2 / 2n of independent categories."""
    prior, g, held = Categorical(latent_dim=8, agreement=1 / 8, uniform=True, learn=False), torch.Generator(), []
    for seed in range(20):
        drawn = torch.randint(8, (2, count), generator=g.manual_seed(seed))
        read = Categories(prior, tuple(torch.eye(8)[side] for side in drawn))
        found = read.elbo(), read.information(), read.divergence(), read.marginal_divergence()
        held += [e.low < 0 < e.high for e in found]
    assert sum(held) >= 0.95 * len(held)


@pytest.mark.parametrize("uniform", [True, False])
def test_the_table_is_a_distribution_and_its_samples_are_of_it(uniform):
    prior = prior_of(uniform)
    table = prior.log_table.exp()
    assert table.sum().item() == pytest.approx(1.0)
    assert torch.allclose(table.sum(1), torch.full((K,), 1 / K, dtype=torch.float64)) == uniform
    z, z_prime = prior.sample(40_000, K, torch.Generator().manual_seed(0))
    assert torch.allclose(z.T @ z_prime / 40_000, table, atol=4 * 0.5 / math.sqrt(40_000))
    fresh = Categorical(latent_dim=K, agreement=0.7, uniform=uniform, learn=False)
    assert fresh.agreement.item() == pytest.approx(0.7) and prior.largest_elbo == math.log(K)


def test_hungarian_accuracy_is_the_best_of_all_permutations():
    g = torch.Generator().manual_seed(0)
    found, labels = torch.randint(5, (60,), generator=g), torch.randint(-1, 4, (60,), generator=g)
    known = labels >= 0
    best = max(
        sum(labels[known] == torch.tensor(order)[found[known]]) for order in itertools.permutations([0, 1, 2, 3, 9])
    )
    assert matched_accuracy(found, labels) == pytest.approx(best.item() / known.sum().item())


def test_clusters_need_labels_of_test_alone_and_neighbours_those_of_train_too():
    labels = {"train": torch.full((6,), -1), "validation": torch.full((4,), -1), "test": torch.tensor([0, 1, 1, -1])}
    data = SimpleNamespace(splits={part: SimpleNamespace(y=y) for part, y in labels.items()})
    reading = SimpleNamespace(device="cpu", data=data, objective=SimpleNamespace(prior=SimpleNamespace()))
    reading.codes = reading.features = lambda split: torch.eye(6)[: len(labels[split])]
    reading.objective.prior.clusters = lambda z: torch.tensor([3, 0, 0, 1])
    for name in ("labels", "has_labels", "too_few_classes"):
        setattr(reading, name, partial(getattr(Reading, name), reading))
    assert ClusterAccuracy()(reading, "test") == {"clusters/accuracy/test": 1.0, "clusters/used/test": 3.0}
    of_knn = KNN(k=1, temperature=0.1)
    assert "2 classes in train, which has none" in of_knn(reading, "test")["probe/knn/test"].reason
    labels["train"][:3] = torch.tensor([0, 1, 1])
    assert of_knn(reading, "test")["probe/knn/test"] == 1.0


@pytest.mark.parametrize(
    "overrides, said",
    [
        (["posterior=deterministic"], "no density on the prior's space .simplex.; allowed: categorical"),
        (["estimator=kde"], "estimator=kde cannot serve prior=categorical; allowed: .*frequencies"),
        (["encoder.latent_dim=1"], "encoder.latent_dim, their number, of at least 2, got 1"),
        (["prior.agreement=1.0"], "prior.agreement must lie between 0 and 1"),
    ],
)
def test_what_makes_no_sense_is_refused_in_a_line(overrides, said):
    with pytest.raises(UserError, match=said):
        make_objective(composed("prior=categorical", *overrides), (1, 8, 8), (1, 8, 8))


def test_supervised_pairs_bring_the_classes_back():
    small = ["encoder=mlp", "encoder.backbone.hidden=[64]", "encoder.projector=[]", "encoder.latent_dim=10"]
    config = composed("prior=categorical", "prior.agreement=0.5", "pairs=supervised", *small)
    data = build(config.dataset, "dataset", CONTRACT, fitted={})
    pairs = make_pairs(config.pairs, data)
    torch.manual_seed(0)
    objective = make_objective(config, *pairs.shapes(data))
    optimization = AdamW(lr=0.01, weight_decay=0.0, warmup=0.0, clip=5.0).attach([objective], total_steps=60)
    noise = torch.Generator().manual_seed(0)
    (train,), (test,) = (split.batches(len(split)) for split in (data.train, data.test))
    for step in range(60):
        (-objective(*pairs(train, noise), generator=noise)).backward()
        optimization.step(step)
    found = objective.eval().prior.clusters(objective.encoder(pairs.clean(test)).mean)
    assert matched_accuracy(found, test.y) > 0.8
