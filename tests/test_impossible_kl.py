"""A KL is at least 0: what reads less by more than chance is missing, and what a density surely misses is an error."""

import math
from types import SimpleNamespace

import pytest
import torch

from ssvae_cli.evaluation.densities.held_out import LogQ
from ssvae_cli.evaluation.estimate import Enclosed, rest_of_kl
from ssvae_cli.evaluation.explicit import Explicit
from ssvae_cli.priors import UnstructuredLaplace
from ssvae_cli.tracking.missing import Missing


def kl(value, error):
    return Enclosed(value, error, None, None)


def test_what_a_part_leaves_of_a_kl_is_a_kl():
    assert rest_of_kl(kl(0.5, 0.1), kl(0.7, 0.1)) == pytest.approx(-0.2)
    assert "it reads -0.50 nats, below the minimum of 0" in rest_of_kl(kl(0.5, 0.1), kl(1.0, 0.1)).reason
    lacking = Missing("as before")
    assert rest_of_kl(kl(0.5, 0.1), Enclosed.lacking(lacking)) is lacking


def test_what_a_density_of_single_latents_misses_for_certain_is_in_the_error_of_the_residual():
    """No -KL is above 0: one that reads 0.3 misses 0.3 of log Q at least."""
    prior, z = UnstructuredLaplace(), torch.randn(2000, 3)

    def residual(above):
        log_q = lambda *which: LogQ(prior.log_density((z,)).double() - above)
        read = Explicit(prior, (z,), SimpleNamespace(log_q=log_q))
        return read.residual(torch.zeros(len(z)), kl(-0.05, 0.01))

    assert residual(0.3) == (pytest.approx(0.35), pytest.approx(math.hypot(0.3, 0.01)))
    assert residual(-0.1) == (pytest.approx(-0.05), pytest.approx(0.01))


def test_a_number_outside_what_is_possible_is_told_by_the_end_that_it_crosses():
    within = lambda value: Enclosed(value, 0.1, None, None).within(0.0, 7.5, "log 1797")
    assert within(-6.0).value.reason == "it reads -6.00 nats, below the minimum of 0"
    assert within(9.0).value.reason == "it reads 9.00 nats, above the maximum of 7.5, log 1797"
    assert within(7.7).value == 7.7  # 2 errors above
