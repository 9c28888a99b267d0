"""A short form of benchmarks/reading: the intervals of the ELBO, I and KL hold the truth where densities are known."""

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from ssvae_cli.evaluation.densities import Densities, DensityFit
from ssvae_cli.evaluation.estimate import Z95, Estimate
from ssvae_cli.evaluation.explicit import Explicit
from ssvae_cli.evaluation.fit import Fit

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks" / "reading"))

from cases import CASES

FIT = DensityFit(
    hidden=32, components=3, clusters=[12], training=Fit(steps=100, batch_size=256, lr=0.01, eval_every=25, patience=2)
)


@pytest.mark.parametrize("name, dim", [("thin normal", 16), ("clusters", 4), ("laplace steps", 2), ("box", 2)])
def test_the_intervals_hold_the_truth(name, dim):
    case, generator = CASES[name](dim), torch.Generator().manual_seed(4)
    splits = [case.sample(count, generator) for count in (1500, 400, 1500)]
    truth = case.truth(case.sample(20_000, generator))
    read = Explicit(case.prior.float(), splits[2], Densities(FIT, case.prior.space, *splits, 1500))
    for quantity, found in (("elbo", read.elbo()), ("mi", read.information()), ("kl", read.divergence())):
        assert abs(found.value - truth[quantity]) < 1.5 * Z95 * found.error < 5, quantity


def test_more_dimensions_than_the_samples_settle_are_null_with_the_reason_and_leave_an_upper_end():
    case, generator = CASES["warp"](16), torch.Generator().manual_seed(0)
    splits = [case.sample(count, generator) for count in (400, 100, 400)]
    densities = Densities(FIT, case.prior.space, *splits, 400)
    elbo = Explicit(case.prior.float(), splits[2], densities).elbo()
    assert "needs more of them" in elbo.value.reason
    assert elbo.high > case.truth(splits[2])["elbo"]

    def beside_posteriors(low: float):
        enclose = lambda *_: (Estimate(low, 0.1), Estimate(90.0, 0.1))
        mixture = SimpleNamespace(anchors=torch.arange(400), enclose=enclose)
        return Explicit(case.prior.float(), splits[2], densities, mixture).elbo()

    near, far = beside_posteriors(elbo.high - 2), beside_posteriors(elbo.high - 20)
    assert near.value == pytest.approx(0.5 * (near.low + near.high)) and near.high == elbo.high
    assert near.error == pytest.approx(0.5 * (near.high - near.low) / Z95)
    assert far.value == elbo.value and far.low == pytest.approx(elbo.high - 20 - 0.1 * Z95)
