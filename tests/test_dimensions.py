"""KL(Q || P) by coordinates: each is its closed form, and what lies between coordinates is the rest."""

import json
import math
from statistics import fmean, stdev

import pytest
import torch

from helpers import SHORT_FITS, ssvae, train
from ssvae_cli.evaluation import seeds
from ssvae_cli.evaluation.dimensions import Dimensions
from ssvae_cli.evaluation.estimate import Estimate
from ssvae_cli.priors import Gaussian, Laplace, SharedLatent, Student, UnstructuredLaplace, UnstructuredNormal
from ssvae_cli.priors.conditional import Normal


def gaussian(dim, views=2):
    prior = Gaussian(latent_dim=dim, correlation=0.5, learn=True, covariance="correlation", views=views)
    prior.raw.data += torch.linspace(-0.5, 0.5, dim)
    return prior


def step(cls, space, **more):
    return lambda dim: cls(latent_dim=dim, scale=0.4, learn=True, space=space, **more)


PRIORS = {
    "gaussian": gaussian,
    "gaussian of three views": lambda dim: gaussian(dim, views=3),
    "normal": step(Normal, "euclidean"),
    "laplace box": step(Laplace, "box"),
    "student": step(Student, "euclidean", df=4.0),
    "shared_latent": lambda dim: SharedLatent(latent_dim=dim, scale=0.7, noise=0.3, learn=True),
    "unstructured_normal": lambda dim: UnstructuredNormal(),
    "unstructured_laplace": lambda dim: UnstructuredLaplace(),
}


def divergences(prior, latents):
    of_q, of_p = Dimensions().log_ratios(prior, latents)
    return of_q.mean(0) - of_p.mean(0)


@pytest.mark.parametrize("name", PRIORS)
def test_the_coordinates_densities_multiply_to_the_prior(name):
    """And each is the prior of one dimension with that coordinate's parameters, as its own samples say: KL is 0."""
    prior = PRIORS[name](3)
    latents = prior.sample(400, 3, torch.Generator().manual_seed(0))
    of_dimensions = prior.log_prob_of_dimensions(*latents)
    assert of_dimensions.shape == (400, 3)
    assert torch.allclose(of_dimensions.sum(1), prior.log_prob(*latents), atol=1e-4)
    assert divergences(prior, latents).abs().max() < 0.25


def normal_pairs(correlations, count=2048, seed=1):
    r = torch.tensor(correlations)
    z, noise = torch.randn(2, count, len(r), generator=torch.Generator().manual_seed(seed)).unbind()
    return z, r * z + (1 - r**2).sqrt() * noise


def test_each_kl_of_normal_pairs_is_its_closed_form(monkeypatch):
    """KL of N(0, [1 q; q 1]) to N(0, [1 r; r 1]) is (1 - q r) / (1 - r^2) - 1 + 1/2 log (1 - r^2) / (1 - q^2). The mean
    over six draws of the pairs and of P's samples, each with a standard error of some 0.02."""
    truth = [0.9, 0.5, 0.1]
    prior = Gaussian(latent_dim=3, correlation=0.5, learn=False, covariance="correlation")
    first, draws = seeds.PRIOR, []
    for draw in range(6):
        monkeypatch.setattr(seeds, "PRIOR", first + draw)
        draws.append(divergences(prior, normal_pairs(truth, seed=1 + draw)))
    found, r = torch.stack(draws).mean(0), 0.5
    expected = [(1 - q * r) / (1 - r**2) - 1 + 0.5 * math.log((1 - r**2) / (1 - q**2)) for q in truth]
    assert found.tolist() == pytest.approx(expected, abs=0.03)
    assert found[0] > 0.4 > 3 * abs(found[1])


def test_the_stated_error_of_the_sum_is_its_deviation_over_draws_of_test():
    prior = Gaussian(latent_dim=3, correlation=0.5, learn=False, covariance="correlation")
    metric, stated, found = Dimensions(), [], []
    for seed in range(30):
        of_q, _ = metric.log_ratios(prior, normal_pairs([0.7, 0.5, 0.3], count=300, seed=seed))
        value, error = Estimate.of_mean(of_q.sum(1))
        found.append(value)
        stated.append(error)
    assert 0.7 < stdev(found) / fmean(stated) < 1.4
    of_both = Estimate.of_difference(torch.tensor([3.0, 5.0] * 5000), torch.tensor([0.0, 2.0] * 5000))
    assert of_both == pytest.approx((3.0, math.sqrt(2 / 10000)), rel=1e-3), "and samples of P have theirs"


def test_a_run_under_a_product_prior_has_a_number_a_coordinate_and_what_lies_between(tmp_path):
    train(tmp_path / "run", "trainer.epochs=1", "prior=gaussian", "encoder.latent_dim=3", "posterior=gaussian")
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    each = [summary[f"kl/dimensions/z{d}/test"] for d in range(3)]
    assert summary["kl/dimensions/sum/test"] == pytest.approx(sum(each), abs=1e-6)
    assert summary["kl/dimensions/largest/test"] == max(each)
    rest = summary["kl/test"] - summary["kl/dimensions/sum/test"]
    assert summary["kl/dimensions/between/test"] == pytest.approx(rest, abs=1e-6)
    assert "KL of single coordinates" in (tmp_path / "run" / "train.log").read_text()


def test_too_few_rows_for_the_neighbour_are_a_reason_and_end_no_run(tmp_path):
    """Nor is there a number under a prior whose coordinates depend on each other."""
    few = "dataset=latents dataset.dim=2 dataset.train=100 dataset.test=4 encoder=mlp encoder.latent_dim=2".split()
    few += ["posterior=gaussian", "trainer.epochs=1"]
    few += ["evaluation=none", "evaluation.test=true", "+metric@evaluation.metrics.dimensions=dimensions"]
    few += [word for word in SHORT_FITS if "metrics" not in word]
    for prior, reason in (("laplace", "a neighbour k=5 needs more"), ("linear_dynamics", None)):
        run = tmp_path / prior
        assert ssvae("train", *few, f"prior={prior}", f"hydra.run.dir={run}") == 0
        assert json.loads((run / "summary.json").read_text())["kl/dimensions/sum/test"] is None
        reasons = json.loads((run / "reasons.json").read_text())
        assert (reason is None) == ("kl/dimensions/sum/test" not in reasons)
        assert reason is None or reason in reasons["kl/dimensions/sum/test"]
