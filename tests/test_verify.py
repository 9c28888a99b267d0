"""`ssvae verify` holds for the shipped classes, and fails with exit code 1 when one of them is wrong."""

import json
import math

import pytest
import torch

from helpers import refused, ssvae
from ssvae_cli.distributed.machine import machine
from ssvae_cli.estimators import DV, NWJ, Eq3, InfoNCE, LeaveOneOut
from ssvae_cli.priors import ExplicitPrior, Gaussian, ScorePrior
from ssvae_cli.scores import DenseScores
from ssvae_cli.verify.check import Check
from ssvae_cli.verify.command import alphabet, sweep, views
from ssvae_cli.verify.enumerated import EnumeratedScores
from ssvae_cli.verify.figure import identities


def minus_the_entropies(self, estimator, encoded, joint=False):
    return 2 * self.log_density(encoded.latents).mean() - ELBO(self, estimator, encoded, joint)


def plus_the_partition(self, scores):
    return scores.mean(scores.positives + scores.log_partition(positive=False))


def without_log_n(self, scores):
    return InfoNCE.forward(self, scores) - math.log(scores.candidates)


def mean_as_a_sum(self, *, positive):
    return (self.table if positive else self._apart(self.table)).logsumexp(1)


def columns_for_rows(self, log_f, joint):
    ENUMERATED(self, log_f, joint)
    self._rows = (log_f + joint.sum(1).log()[:, None]).logsumexp(0)


def the_other_direction(self, forward, backward):
    swapped = {"forward": [backward], "backward": [forward], "both": [backward, forward]}[self.direction]
    return [scores() for scores in swapped]


ELBO = ExplicitPrior.elbo
ENUMERATED, K_WAY, LEAVE_ONE_OUT = EnumeratedScores.__init__, InfoNCE.forward, LeaveOneOut.forward
MUTATIONS = {
    "a sign: minus the entropies": [(ExplicitPrior, "elbo", minus_the_entropies)],
    "a sign: plus the log-partition": [(LeaveOneOut, "forward", plus_the_partition)],
    "a sign: r of the gaussian prior": [(Gaussian, "correlation", property(lambda self: -torch.tanh(self.fixed)))],
    "log N dropped from (3)": [(Eq3, "forward", without_log_n)],
    "log N dropped from the partition": [(DenseScores, "log_partition", mean_as_a_sum)],
    "Z(z) dropped": [(ScorePrior, "log_ratio", lambda self, scores: scores.positives)],
    "an axis swapped: sums over z for sums over z'": [(EnumeratedScores, "__init__", columns_for_rows)],
    "an axis swapped: backward for forward": [(ScorePrior, "_directed", the_other_direction)],
    "bounds swapped: K-way and leave-one-out": [(InfoNCE, "forward", LEAVE_ONE_OUT), (LeaveOneOut, "forward", K_WAY)],
    "bounds swapped: dv and nwj": [(DV, "forward", NWJ.forward), (NWJ, "forward", DV.forward)],
}


@pytest.fixture(autouse=True)
def one_thread():
    """The tables are small: more threads would wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def run(folder) -> int:
    return ssvae("verify", f"hydra.run.dir={folder}")


@pytest.mark.drawn
def test_every_identity_holds_in_a_table_json_and_pictures(tmp_path, capfd):
    assert run(tmp_path) == 0
    found = json.loads((tmp_path / "verify.json").read_text())
    equations = {e for check in found["checks"] for e in check["equation"].split()}
    assert {f"({n})" for n in (3, 5, 9, 14, 17, 19, 23, 25, 28, 29, 30)} <= equations
    assert all(check["holds"] for check in found["checks"])
    sums = [c for c in found["checks"] if c["error"] == 0 and c["relation"] == "=" and c["slack"] == 1e-12]
    assert len(sums) > 20, "the finite alphabet is held to 1e-12"
    out, err = capfd.readouterr()
    device, *parts = err.splitlines()[:5]
    assert device == machine(torch.device("cpu"))
    assert [line.split("  ")[0] for line in parts] == [f"part {i}/4" for i in range(1, 5)]
    assert "bilinear: b rho - b^2/2" in out and "FAILS" not in out
    assert all((tmp_path / name).stat().st_size > 10_000 for name in ("identities.png", "negatives.png"))


def test_the_picture_has_a_readable_label_and_a_dot_in_sight_for_every_check():
    estimates = [0.0, 1e-3, 1e9, math.inf, math.nan]
    checks = [Check("(5)", f"claim {i}", expected=0.0, estimate=e, slack=1e-2) for i, e in enumerate(estimates)]
    labels, dots = [], []
    for axis in identities(checks).axes:
        low, high = axis.get_xlim()
        labels += axis.get_yticklabels()
        dots += [low <= x <= high for points in axis.collections for x, _ in points.get_offsets()]
    assert [label.get_text() for label in labels] == [f"claim {i}   (5)" for i in range(5)]
    assert min(label.get_fontsize() for label in labels) >= 10 and dots == [True] * 5


@pytest.mark.parametrize("name", MUTATIONS)
def test_a_wrong_class_is_seen(name, tmp_path, monkeypatch, capfd):
    monkeypatch.setattr(sweep, "NEGATIVES", (2, 64, 1000))  # the same curves, with fewer points
    monkeypatch.setattr(views, "BATCHES", 16)
    for of_letters in (alphabet, views):
        monkeypatch.setattr(of_letters, "TABLES", 1)
    for owner, attribute, wrong in MUTATIONS[name]:
        monkeypatch.setattr(owner, attribute, wrong)
    assert run(tmp_path) == 1
    assert "FAILS" in capfd.readouterr().out
    assert not all(check["holds"] for check in json.loads((tmp_path / "verify.json").read_text())["checks"])


def test_a_check_holds_within_four_standard_errors_on_its_side_and_never_for_nan():
    assert Check("", "", 1.0, 1.3, 0.1).holds and not Check("", "", 1.0, 1.5, 0.1).holds
    assert Check("", "", 1.0, -9.0, relation="<=").holds and not Check("", "", 1.0, -9.0, relation=">=").holds
    assert not Check("", "", 1.0, math.nan).holds and not Check("", "", 1.0, math.nan, relation="<=").holds


def test_a_seed_that_is_no_number_is_refused(tmp_path, capfd):
    line = refused(capfd, "verify", "seed=one", f"hydra.run.dir={tmp_path}/run")
    assert "seed must be an integer of at least 0, got 'one'" in line
