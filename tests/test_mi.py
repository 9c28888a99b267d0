"""`ssvae mi`.

1. Normal scores do not move when a coordinate is mapped by an increasing function, and so no estimate does.
2. The classical estimates agree with closed forms, plain loops and scikit-learn.
3. The fitted densities are densities, start as the Gaussian's, and learn what it misses.
4. Validation chooses the step; independent pairs read 0; a bound keeps below its ceiling.
5. What diverged is a failure, never a number, and the recommended value says why it is the one.
6. A user's mistake is one line.
"""

import json
import math

import numpy as np
import pytest
import torch
from scipy.special import digamma
from sklearn.feature_selection import mutual_info_regression

from helpers import ssvae
from ssvae_cli.couplings import MLP, Separable
from ssvae_cli.estimators.base import ScoreEstimator
from ssvae_cli.estimators.infonce import InfoNCE
from ssvae_cli.estimators.nwj import NWJ
from ssvae_cli.estimators.smile import SMILE
from ssvae_cli.mi.classical import gaussian_copula, ksg, share_a_coordinate
from ssvae_cli.mi.critics import fit_and_read
from ssvae_cli.mi.data import Pairs, Split, cut, normal_scores
from ssvae_cli.mi.entropies import Density, Entropies
from ssvae_cli.mi.reading import Reading
from ssvae_cli.mi.recommend import Estimate, recommend
from ssvae_cli.mi.training import Training
from ssvae_cli.tasks import Gaussian, Sample, Student

SPLIT = Split(validation=0.2, test=0.2, at_most=2048)


def gaussian(*, dim=2, mi=1.0, samples=2000, power=1, seed=0):
    return Gaussian(samples=samples, dim=dim, mi=mi, power=power).draw(np.random.default_rng(seed))


def training(steps=300, batch_size=64, patience=5):
    return Training(steps=steps, batch_size=batch_size, lr=1e-3, eval_every=50, patience=patience)


def by_critic(sample, estimator, critic=None, **options):
    torch.manual_seed(0)
    critic = critic or Separable(latent_dim=sample.x.shape[1], hidden=[64], embedding_dim=32)
    generator = torch.Generator().manual_seed(0)
    return fit_and_read(critic, estimator, training(**options), cut(sample, SPLIT, 0), generator)


def by_entropies(sample, **options):
    torch.manual_seed(0)
    entropies = Entropies(hidden=64, components=4, training=training(batch_size=256, **options))
    return entropies.fit_and_read(cut(sample, SPLIT, 0), torch.Generator().manual_seed(0))


# 1. Normal scores.


@pytest.mark.parametrize("increasing", [np.exp, lambda v: v**3, lambda v: 5 * v - 2])
def test_normal_scores_do_not_move_under_an_increasing_map(increasing):
    values, train = np.random.default_rng(0).standard_normal((200, 3)), np.arange(0, 200, 2)
    scores, mapped = normal_scores(values, train), normal_scores(increasing(values), train)
    torch.testing.assert_close(mapped[train], scores[train])
    assert (mapped - scores).abs().max() < 0.3  # between training values the map is straightened


def test_normal_scores_are_normal_and_equal_values_share_one():
    values = np.random.default_rng(1).exponential(size=(2000, 1))
    scores = normal_scores(values, np.arange(2000))
    assert abs(scores.mean()) < 1e-6 and scores.std().item() == pytest.approx(1, abs=0.01)
    tied = normal_scores(np.array([[0.0], [1.0], [1.0], [2.0]]), np.arange(4)).squeeze()
    assert tied[1] == tied[2] == 0 and tied[0] == -tied[3]


def test_split_parts_are_apart_and_leave_the_rest_to_training():
    train, held, tested = Split(validation=0.1, test=0.2, at_most=50)(1000, torch.Generator().manual_seed(0))
    assert (len(train), len(held), len(tested)) == (900, 50, 50)
    assert len(set(torch.cat([train, held, tested]).tolist())) == 1000


# 2. Classical estimates.


def test_ksg_agrees_with_a_plain_loop():
    x, y, _ = gaussian(samples=60)
    x, y = (torch.from_numpy(v) for v in (x, y))
    u, v = ((side - side.mean(0)) / side.std(0) for side in (x, y))
    terms = []
    for i in range(60):
        near_x, near_y = ((side - side[i]).abs().max(1).values for side in (u, v))
        reach = torch.maximum(near_x, near_y).sort().values[3]  # place 0 is the pair itself
        inside = [(near < reach).sum().item() for near in (near_x, near_y)]
        terms.append(digamma(3) + digamma(60) - digamma(inside[0]) - digamma(inside[1]))
    assert ksg(Pairs(x, y)).value == pytest.approx(np.mean(terms), abs=1e-9)


def test_ksg_agrees_with_the_closed_form_and_with_scikit_learn_in_one_dimension():
    x, y, exact = gaussian(dim=1, samples=3000)
    reading = ksg(Pairs(torch.from_numpy(x), torch.from_numpy(y)))
    assert abs(reading.value - exact) < 4 * reading.error
    peer = mutual_info_regression(x, y.ravel(), n_neighbors=3, random_state=0)[0]
    assert reading.value == pytest.approx(peer, abs=0.01)


@pytest.mark.parametrize("mi", [0.0, 2.0, 10.0])
def test_gaussian_copula_is_exact_on_gaussian_pairs_and_blind_to_cubes(mi):
    plain, cubed = (cut(gaussian(dim=20, mi=mi, samples=4000, power=p), SPLIT, 0).whole for p in (1, 3))
    reading = gaussian_copula(plain)
    assert abs(reading.value - mi) < 4 * reading.error + 0.02
    assert gaussian_copula(cubed).value == pytest.approx(reading.value, abs=0.02)


def test_gaussian_copula_takes_out_the_bias_of_a_small_sample():
    readings = [
        gaussian_copula(Pairs(*(torch.from_numpy(s) for s in gaussian(dim=10, mi=0, samples=100, seed=i)[:2])))
        for i in range(40)
    ]
    values = torch.tensor([r.value for r in readings])
    assert abs(values.mean()) < 3 * values.std() / math.sqrt(40)  # uncorrected it would be near 0.5


def test_gaussian_copula_with_fewer_pairs_than_coordinates_is_a_failure():
    assert gaussian_copula(Pairs(torch.randn(20, 10), torch.randn(20, 10))).failure() == "not finite"


@pytest.mark.parametrize("noise, shared", [(0.0, True), (0.05, False)])
def test_a_coordinate_that_x_and_y_share_is_seen(noise, shared):
    x, y, _ = gaussian(dim=3, mi=1.0, samples=500)
    y[:, 1] = x[:, 2] ** 3 + noise * y[:, 1]
    assert share_a_coordinate(cut(Sample(x, y, None), SPLIT, 0).whole) == shared


# 3. Densities.


@pytest.mark.parametrize("given, dim", [(0, 2), (3, 2), (2, 1)])
def test_a_density_integrates_to_one_whatever_its_weights(given, dim):
    torch.manual_seed(0)
    density = Density(torch.randn(50, given), torch.randn(50, dim), hidden=16, components=3, shrinkage=0.0)
    for parameter in density.parameters():
        torch.nn.init.normal_(parameter, std=0.4)
    axis = torch.linspace(-12, 12, 481)
    grid = torch.cartesian_prod(*[axis] * dim).reshape(-1, dim)
    context = torch.randn(1, given).expand(len(grid), -1)
    mass = density(context, grid).exp().sum() * (24 / 480) ** dim
    assert mass.item() == pytest.approx(1, abs=0.01)


def test_a_density_starts_as_the_gaussian_conditional():
    torch.manual_seed(0)
    z = torch.randn(5000, 4) @ torch.randn(4, 4)
    density = Density(z[:, :2], z[:, 2:], hidden=16, components=4, shrinkage=0.0)
    both, given = (torch.distributions.MultivariateNormal(v.mean(0), torch.cov(v.T)).log_prob(v) for v in (z, z[:, :2]))
    torch.testing.assert_close(density(z[:, :2], z[:, 2:]).mean(), (both - given).mean(), atol=0.01, rtol=0)


@pytest.mark.parametrize("mi", [0.0, 2.0, 10.0])
def test_entropies_are_within_their_interval_on_gaussian_pairs(mi):
    (value, error), _ = by_entropies(gaussian(dim=10, mi=mi, samples=2500), steps=50)
    assert abs(value - mi) < 3 * error + 0.02 * mi  # what fitting 20 dimensions on 1500 pairs costs


def test_entropies_learn_what_a_gaussian_copula_misses():
    sample = Student(samples=3000, dim=3, df=1.0).draw(np.random.default_rng(0))
    (value, error), curve = by_entropies(sample, steps=300)
    assert abs(gaussian_copula(cut(sample, SPLIT, 0).whole).value) < 0.05
    assert curve.chosen > 0 and 0.6 * sample.exact < value < sample.exact + 3 * error


def test_entropies_take_the_narrower_side_for_the_density():
    rng = np.random.default_rng(0)
    angle = rng.uniform(0, 2 * np.pi, (2000, 1))
    circle, y = np.hstack([np.cos(angle), np.sin(angle)]), np.cos(angle) + 0.5 * rng.standard_normal((2000, 1))
    readings = [by_entropies(Sample(*pair, None), steps=300)[0] for pair in ((circle, y), (y, circle))]
    assert readings[0].value == pytest.approx(readings[1].value, abs=0.05)
    assert 0.3 < readings[0].value < 1.2  # a density on the circle, which has no area, would read anything


# 4. Critics.


@pytest.mark.parametrize("critic", ["separable", "mlp"])
def test_infonce_finds_most_of_the_mi_and_not_more(critic):
    make = {"separable": None, "mlp": MLP(latent_dim=2, hidden=[64])}[critic]
    (value, error), curve = by_critic(gaussian(mi=1.0), InfoNCE(), make)
    assert 0.8 < value + 2 * error and value - 3 * error < 1.0
    assert curve.chosen > 0


@pytest.mark.parametrize("estimator", [InfoNCE(), NWJ(), SMILE(clip=5.0)])
def test_independent_pairs_read_no_dependence_however_long_a_critic_overfits(estimator):
    (value, error), curve = by_critic(gaussian(mi=0, samples=300), estimator, steps=600, patience=100)
    assert value < 3 * error + 0.03
    assert curve.values[-1] < curve.values[curve.steps.index(curve.chosen)], "the last step overfits"


def test_k_way_infonce_keeps_below_its_ceiling():
    sample = gaussian(mi=12.0, samples=500)
    (value, _), _ = by_critic(sample, InfoNCE())
    assert value <= InfoNCE.ceiling(100)


def test_x_and_y_of_unequal_widths_are_scored():
    sample = gaussian(dim=3, mi=1.5)
    narrow = Sample(sample.x, sample.y[:, :1], None)
    assert by_critic(narrow, InfoNCE())[0].value == pytest.approx(0.5, abs=0.15)


def test_training_keeps_the_weights_that_validation_liked_best():
    network = torch.nn.Linear(1, 1)
    seen = []

    def validate():
        seen.append(network.weight.item())
        return -abs(len(seen) - 3)  # the third look is the best

    pairs = Pairs(torch.ones(8, 1), torch.ones(8, 1))
    curve = training(steps=1000, patience=2).fit(
        network, lambda batch: network(batch.x).mean(), pairs, validate, torch.Generator()
    )
    assert curve.chosen == 100 and curve.steps == [0, 50, 100, 150, 200]
    assert network.weight.item() == seen[2]


# 5. Failures, and what is recommended.


def test_the_jackknife_error_of_a_mean_is_its_standard_error():
    table = torch.randn(10, 10, generator=torch.Generator().manual_seed(0)).double()
    reading = Reading.of_table(lambda t: t.diagonal().mean(), table)
    terms = table.diagonal()
    assert reading.value == pytest.approx(terms.mean().item())
    assert reading.error == pytest.approx((terms.std() / math.sqrt(10)).item())


@pytest.mark.parametrize(
    "value, error, said",
    [
        (math.nan, 0.1, "not finite"),
        (math.inf, 0.1, "not finite"),
        (1.0, math.nan, "not finite"),
        (-1656.0, 100.0, "diverged"),
        (3.0, 40.0, "diverged"),
        (2.0, 0.0, "nothing varies"),
    ],
)
def test_what_is_no_estimate_says_why(value, error, said):
    assert said in Reading(value, error).failure()


@pytest.mark.parametrize("value, error", [(0.0, 0.01), (-0.02, 0.01), (5.0, 0.4), (-0.4, 0.1)])
def test_an_estimate_near_zero_or_of_moderate_error_stands(value, error):
    assert Reading(value, error).failure() is None


def line(name, value, error=0.05, ceiling=math.inf, shuffled=0.0):
    return Estimate(name, "", ceiling, Reading(value, error), 0, Reading(shuffled, 0.01))


@pytest.mark.parametrize(
    "lines, name, value",
    [
        ([line("infonce", 1.9), line("entropies", 2.0)], "difference of entropies", 2.0),
        ([line("infonce", 2.6), line("entropies", 2.0)], "infonce", 2.6),
        ([line("infonce", 1.9), line("entropies", math.nan)], "infonce", 1.9),
        ([line("infonce", 1.9), line("entropies", 2.0, shuffled=0.5)], "infonce", 1.9),
        ([line("entropies", math.nan), line("ksg", 1.5)], "ksg", 1.5),
    ],
)
def test_the_recommended_value_and_its_reason(lines, name, value):
    best = recommend(lines)
    assert best.value == value and best.why.startswith(name)
    assert best.low == pytest.approx(value - 1.96 * 0.05) and best.high == pytest.approx(value + 1.96 * 0.05)


def test_nothing_is_recommended_where_nothing_stands():
    best = recommend([line("infonce", -1e5), line("entropies", math.nan)])
    assert math.isnan(best.value) and "no estimate stands" in best.why


def test_an_estimate_at_its_ceiling_is_warned_of():
    assert "ceiling of 4.16" in line("infonce", 3.9, ceiling=math.log(64)).note()
    assert line("infonce", 2.0, ceiling=math.log(64)).note() == ""


class Exploding(ScoreEstimator):
    """An estimator that diverges."""

    name, bound = "nwj", "lower"

    def forward(self, scores):
        return scores.positives.mean() - 1e6


SMALL = ["training.steps=100", "training.eval_every=50", "entropies.hidden=32", "critic.hidden=[32]"]
FEW = [f"~estimator@estimators.{name}" for name in ("interpolated", "tuba", "js", "dv", "mine", "smile")]


def run(tmp_path, *overrides):
    assert ssvae("mi", *SMALL, *FEW, *overrides, f"hydra.run.dir={tmp_path}/run") == 0
    return json.loads((tmp_path / "run" / "summary.json").read_text())


def test_the_command_reads_a_users_pairs_and_reports_what_diverged_as_failed(tmp_path, capsys):
    x, y, exact = gaussian(mi=1.0, samples=1000)
    np.savez(tmp_path / "pairs.npz", x=x, y=y[:, 0])  # one column may come as [N]
    summary = run(tmp_path, f"data={tmp_path}/pairs.npz", "estimators.nwj._target_=test_mi.Exploding")
    assert summary["mi/recommended/low"] < exact / 2 < summary["mi/recommended/high"]
    assert summary["mi/nwj/test"] is None and "diverged" in summary["mi/nwj/failure"]
    assert summary["data/exact"] is summary["data/task"] is None and summary["data/pairs"] == 1000
    out = capsys.readouterr().out
    assert "failed: diverged" in out and "recommended: 0." in out and "why: " in out
    lines = [json.loads(text) for text in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert {"infonce", "entropies"} <= {text["estimator"] for text in lines}
    assert (tmp_path / "run" / "figures" / "curves.png").stat().st_size > 10_000


def test_independent_pairs_have_a_recommended_interval_at_zero(tmp_path):
    summary = run(tmp_path, "task=independent", "task.samples=1000", "zero_check=false")
    assert summary["data/exact"] == 0 and summary["mi/recommended/low"] < 0.02
    assert summary["mi/infonce/shuffled"] is None


def test_ten_pairs_are_enough_to_run_and_too_few_to_pretend(tmp_path):
    summary = run(tmp_path, "task.samples=10")
    assert summary["mi/gaussian_copula/test"] is None
    assert summary["mi/entropies/test"] is None


def test_without_data_the_task_is_named_with_its_information_before_the_table(tmp_path, capfd):
    summary = run(tmp_path, "task.samples=10", "zero_check=false")
    assert summary["data/task"] == "gaussian"
    said = capfd.readouterr().err
    assert said.index("task=gaussian, I is 2.000 nats: 10 pairs, x [20], y [20]") < said.index("estimator 1/")


# 6. Mistakes.

X, Y = gaussian(samples=20)[:2]
FILES = {
    "unequal lengths": ({"x": X, "y": Y[:15]}, ["equal length", "20 and 15"]),
    "NaN": ({"x": np.where(np.arange(40).reshape(20, 2) == 6, np.nan, X), "y": Y}, ["x has 1 values", "row 3"]),
    "infinity": ({"x": X, "y": np.where(np.arange(40).reshape(20, 2) == 0, np.inf, Y)}, ["y has 1 values"]),
    "constant column": ({"x": np.column_stack([X, np.ones(20)]), "y": Y}, ["x: column 2 is constant"]),
    "nine rows": ({"x": X[:9], "y": Y[:9]}, ["at least 10 rows, got 9"]),
    "wrong key": ({"x": X, "Y": Y}, ["unknown array 'Y'", "allowed: x, y"]),
    "one key": ({"x": X}, ["must hold x and y, got x"]),
    "nothing": ({}, ["got nothing"]),
    "three dimensions": ({"x": X[None], "y": Y}, ["x must be [N, d] or [N], got [1, 20, 2]"]),
    "no columns": ({"x": X[:, :0], "y": Y}, ["no columns"]),
    "words": ({"x": np.full((20, 1), "a"), "y": Y}, ["x must hold numbers"]),
    "complex": ({"x": X + 1j, "y": Y}, ["x must hold numbers, got complex128"]),
    "objects": ({"x": np.array([None] * 20), "y": Y}, ["Python objects"]),
}
OVERRIDES = {
    "no such file": (["data=nowhere.npz"], ["data=nowhere.npz: no such file"]),
    "unknown task": (["task=gausian"], ["task=gausian", "did you mean 'gaussian'"]),
    "unknown critic": (["critic=concat"], ["critic=concat", "mlp, separable"]),
    "unknown key": (["traning.steps=3"], ["traning", "training"]),
    "unknown estimator": (["estimator@estimators.infonce=infonc"], ["infonc", "did you mean 'infonce'"]),
    "negative mi": (["task.mi=-1"], ["task.mi must be at least 0, got -1"]),
    "even power": (["task=cubic", "task.power=2"], ["task.power must be odd"]),
    "no degrees of freedom": (["task=student", "task.df=0"], ["task.df must be above 0"]),
    "no noise": (["task=additive", "task.noise=0"], ["task.noise must be above 0"]),
    "flat spiral": (["task=spiral", "task.dim=1"], ["task.dim must be at least 2"]),
    "nine samples": (["task.samples=9"], ["task.samples must be at least 10"]),
    "leave-one-out": (["estimator@estimators.infonce=limit"], ["estimators.infonce: limit", "nwj"]),
    "entropy estimator": (["estimator@estimators.infonce=kde"], ["estimators.infonce: kde"]),
    "no steps": (["training.steps=0"], ["training.steps must be at least 1"]),
    "no batch": (["training.batch_size=1"], ["training.batch_size must be at least 2"]),
    "no rate": (["training.lr=0"], ["training.lr must be above 0"]),
    "test takes all": (["split.test=0.7"], ["split.test must lie between 0 and 0.5"]),
    "no components": (["entropies.components=0"], ["entropies.components must be at least 1"]),
    "a seed that is none": (["seed=-1"], ["seed must be an integer of at least 0"]),
    "a check that is none": (["zero_check=maybe"], ["zero_check must be true or false"]),
}


def refused(tmp_path, monkeypatch, capfd, overrides, said):
    monkeypatch.chdir(tmp_path)
    assert ssvae("mi", *overrides, "hydra.run.dir=run") == 2
    out, err = capfd.readouterr()
    assert out == "" and len(err.strip().splitlines()) == 1, err
    for words in said:
        assert words in err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", FILES)
def test_bad_arrays_are_one_line(name, tmp_path, monkeypatch, capfd):
    arrays, said = FILES[name]
    np.savez(tmp_path / "pairs.npz", **arrays)
    refused(tmp_path, monkeypatch, capfd, ["data=pairs.npz"], said)


@pytest.mark.parametrize("name", OVERRIDES)
def test_bad_options_are_one_line(name, tmp_path, monkeypatch, capfd):
    refused(tmp_path, monkeypatch, capfd, *OVERRIDES[name])


def test_a_file_that_is_no_npz_is_one_line(tmp_path, monkeypatch, capfd):
    (tmp_path / "pairs.npz").write_bytes(b"not an archive")
    refused(tmp_path, monkeypatch, capfd, ["data=pairs.npz"], ["cannot be read as an .npz"])
    np.save(tmp_path / "pairs.npy", X)
    refused(tmp_path, monkeypatch, capfd, ["data=pairs.npy"], ["one array, not an .npz"])
