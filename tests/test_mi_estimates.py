"""What `ssvae mi` estimates with, on pairs whose mutual information is known.

1. Normal scores do not move when a coordinate is mapped by an increasing function; what is held out is apart.
2. The classical estimates agree with closed forms, plain loops and scikit-learn.
3. The fitted densities are densities, start as the Gaussian's, and learn what it misses.
"""

import math

import numpy as np
import pytest
import torch
from scipy.signal import lfilter
from scipy.special import digamma
from sklearn.feature_selection import mutual_info_regression

from ssvae_cli.errors import UserError
from ssvae_cli.evaluation.densities.autoregressive import Autoregressive
from ssvae_cli.evaluation.fit import Fit
from ssvae_cli.evaluation.samples import Pairs, normal_scores
from ssvae_cli.mi.classical import KSG, GaussianCopula, ksg
from ssvae_cli.mi.components import components
from ssvae_cli.mi.data import informative, pose, shuffled, tables_of
from ssvae_cli.mi.entropies import Entropies
from ssvae_cli.mi.splits import Blocks, Split
from ssvae_cli.mi.tasks import Gaussian, Sample, Student

SIZES = {"validation": 0.2, "test": 0.2, "at_most": 2048, "folds": 3}
SPLIT = Split(**SIZES)


def gaussian(*, dim=2, mi=1.0, samples=2000, power=1, seed=0):
    return Gaussian(samples=samples, dim=dim, mi=mi, power=power).draw(np.random.default_rng(seed))


def short_fit(steps=300, batch_size=64, patience=5):
    return Fit(steps=steps, batch_size=batch_size, lr=1e-3, eval_every=50, patience=patience)


def posed(sample, split=SPLIT):
    return pose(sample.x, sample.y, split, 0)


def by_entropies(sample, **options):
    torch.manual_seed(0)
    training = short_fit(batch_size=256, **options)
    return Entropies(hidden=64, components=4, validation=0.2, widest=100, training=training)(posed(sample))


def copula(x, y):
    return GaussianCopula()(pose(x, y, SPLIT, 0)).estimate


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


@pytest.mark.parametrize("split", [SPLIT, Blocks(**SIZES, blocks=10, gap=5)], ids=["random", "blocks"])
def test_what_is_held_out_is_apart_from_what_is_fitted_and_every_pair_is_held_out_once(split):
    generator = torch.Generator().manual_seed(0)
    gap = getattr(split, "gap", 0)
    for train, *held in [split.parts(1000, generator), *split.folds(1000, generator)]:
        held = torch.cat(held)
        assert (train[:, None] - held).abs().min() > gap and len(train) + len(held) > 1000 - 4 * gap - 1
    assert sorted(torch.cat([fold for _, fold in split.folds(1000, generator)]).tolist()) == list(range(1000))


@pytest.mark.parametrize("count, step, gap", [(4000, 4, 25), (4001, 5, 20), (900, 1, 100)])
def test_a_part_of_a_series_is_of_all_of_it_and_its_gap_is_as_long_in_time(count, step, gap):
    rows, split = Blocks(**SIZES, blocks=20, gap=100).part_of(count, 1000, torch.Generator().manual_seed(0))
    assert (rows // step).tolist() == list(range(-(-count // step))) and len(rows) <= 1000
    assert split.gap == gap and len((rows % step).unique()) == step, "a drawn one of each, so that no period is missed"


def test_shuffled_pairs_of_a_series_need_no_gap_and_leave_rows_to_train_on_whatever_the_gap():
    x, y = np.random.default_rng(0).standard_normal((2, 3000, 1))
    apart = shuffled(pose(x, y, Blocks(**SIZES, blocks=10, gap=700), 0), 1000)
    assert apart.split.gap == 0 and not apart.split.independent
    assert all(len(train) + len(held) == 1000 for train, held in apart.split.folds(1000, None))


def test_a_critic_is_read_on_rows_of_all_that_is_held_out_of_a_series_and_fitted_apart_from_all_of_it():
    split, generator = Blocks(**SIZES, blocks=20, gap=100), torch.Generator().manual_seed(0)
    train, validation, test = split.parts(40_000, generator)
    first, last = round(split.validation * 40_000), round((1 - split.test) * 40_000)
    assert len(train) == last - first - 200 and train[0] == first + 100 and train[-1] == last - 101
    for rows, begin, end in ((validation, 0, first), (test, last, 40_000)):
        assert len(rows) <= split.at_most and (rows.diff() > 0).all()
        gaps = torch.cat([rows[:1] - begin, rows.diff(), end - rows[-1:]])
        assert gaps.max() <= 2 * (end - begin) / len(rows) + 1, "no part of the series is left out"


def test_two_slow_series_longer_than_what_is_read_show_no_dependence():
    noise = np.random.default_rng(0).standard_normal((2, 40_000))
    x, y = lfilter([1], [1, -0.99], noise)
    problem = pose(x[:, None], y[:, None], Blocks(**SIZES, blocks=20, gap=0), 0)
    value, error = KSG(k=3, most=1000, most_wide=1000, widest=100)(problem).estimate
    assert abs(value) < 3 * error and error < 0.1


def test_errors_by_blocks_are_larger_where_rows_repeat_their_neighbours():
    terms = torch.randn(50, generator=torch.Generator().manual_seed(0)).repeat_interleave(20).double()
    x, y, *_ = gaussian(samples=1000)
    errors = [pose(x, y, split, 0).mean(terms).error for split in (SPLIT, Blocks(**SIZES, blocks=50, gap=0))]
    assert errors[1] == pytest.approx(errors[0] * math.sqrt(20), rel=0.05)


# 2. Classical estimates.


@pytest.mark.parametrize("gap, dim", [(0, 2), (7, 2), (7, 1)])
def test_ksg_agrees_with_a_plain_loop(gap, dim):
    x, y, *_ = gaussian(samples=60, dim=dim)
    terms = []
    for i in range(60):
        far = [j for j in range(60) if j == i or abs(j - i) > gap]
        near_x, near_y = (np.abs(side[far] - side[i]).max(1) for side in (x, y))
        reach = np.sort(np.maximum(near_x, near_y))[3]  # place 0 is the pair itself
        inside = [(near < reach).sum() for near in (near_x, near_y)]
        terms.append(digamma(3) + digamma(len(far)) - digamma(inside[0]) - digamma(inside[1]))
    np.testing.assert_allclose(ksg(Pairs(torch.from_numpy(x), torch.from_numpy(y)), gap=gap), terms, atol=1e-9)


def test_the_neighbours_in_a_slow_series_show_no_dependence_on_another():
    noise = torch.randn(500, 2, generator=torch.Generator().manual_seed(2)).numpy()
    x, y = lfilter([1], [1, -0.95], noise, axis=0).T
    near, far = (
        KSG(k=3, most=5000, most_wide=1000, widest=100)(pose(x[:, None], y[:, None], split, 0)).estimate
        for split in (Blocks(**SIZES, blocks=20, gap=gap) for gap in (0, 50))
    )
    assert near.value > 0.1 > far.value


def test_ksg_agrees_with_the_closed_form_and_with_scikit_learn_in_one_dimension():
    x, y, exact, _ = gaussian(dim=1, samples=3000)
    value = ksg(Pairs(torch.from_numpy(x), torch.from_numpy(y))).mean().item()
    assert value == pytest.approx(exact, abs=0.07)
    assert value == pytest.approx(mutual_info_regression(x, y.ravel(), n_neighbors=3, random_state=0)[0], abs=0.01)


def test_ksg_sums_over_groups_of_coordinates_that_do_not_depend_on_each_other():
    x, y, exact, _ = gaussian(dim=10, mi=5.0, samples=1500)
    problem = posed(Sample(x, y, exact))
    assert [(len(one.x), len(one.y)) for one in problem.components] == [(1, 1)] * 10
    summed = KSG(k=3, most=5000, most_wide=1000, widest=100)(problem).estimate
    assert abs(summed.value - exact) < 4 * summed.error
    assert ksg(problem.pairs).mean() < exact / 2, "all ten coordinates at once are too many for neighbours"


def test_components_show_a_dependence_without_correlation_and_leave_out_what_carries_nothing():
    rng = np.random.default_rng(0)
    x, noise = rng.standard_normal((2, 1000, 8))
    noise[:, 5] += x[:, 2] ** 2
    assert [(one.x, one.y) for one in components(pose(x, noise, SPLIT, 0).pairs)] == [([2], [5])]


@pytest.mark.parametrize("mi", [0.0, 2.0, 10.0])
def test_gaussian_copula_is_exact_on_gaussian_pairs_and_blind_to_cubes(mi):
    plain, cubed = (copula(*gaussian(dim=20, mi=mi, samples=4000, power=p)[:2]) for p in (1, 3))
    assert abs(plain.value - mi) < 4 * plain.error + 0.02
    assert cubed.value == pytest.approx(plain.value, abs=0.02 + 0.01 * mi)


def test_gaussian_copula_takes_out_the_bias_of_a_small_sample():
    samples = [gaussian(dim=10, mi=0, samples=100, seed=i)[:2] for i in range(40)]
    values = torch.tensor([copula(*sides).value for sides in samples])
    assert abs(values.mean()) < 3 * values.std() / math.sqrt(40)  # uncorrected it would be near 0.5


def test_gaussian_copula_with_fewer_pairs_than_coordinates_is_a_failure():
    rng = np.random.default_rng(0)
    assert copula(*rng.standard_normal((2, 20, 10))).failure() == "it reads nan"


@pytest.mark.parametrize(
    "of_x, noise, infinite, ordered",
    [
        (lambda x: -x[:, 2], 0.0, True, True),
        (lambda x: (x[:, 0] + x[:, 2]).astype(np.float32), 0.0, True, False),
        (lambda x: x[:, 2] ** 3, 0.0, False, True),
        (lambda x: -x[:, 2].round(2), 0.0, False, True),
        (lambda x: x[:, 2].clip(min=0), 0.0, False, True),
        (lambda x: x[:, 2] > 0, 0.0, False, False),  # I is log 2, as two classes show
        (lambda x: x[:, 2] ** 3, 0.05, False, False),
        (lambda x: x[:, 2], 1e-3, False, False),  # I is 6.9 nats
    ],
)
def test_a_coordinate_that_x_and_y_share_is_seen(of_x, noise, infinite, ordered):
    x, y, *_ = gaussian(dim=3, mi=1.0, samples=2000)
    y[:, 1] = of_x(x) + noise * y[:, 1]
    problem = pose(x, y, SPLIT, 0)
    assert (problem.infinite, problem.ordered) == (infinite, ordered)


@pytest.mark.parametrize("share", [0.002, 0.1, 0.4])
def test_outliers_that_both_sides_have_are_no_shared_coordinate(share):
    """As one wild value, or a number that stands for a missing one."""
    x, y, *_ = gaussian(dim=1, mi=0.4, samples=500)
    missing = np.arange(500) < share * 500
    sides = [np.where(missing[:, None], -1e9, side) for side in (x, y)]
    assert not pose(*sides, SPLIT, 0).infinite
    assert pose(sides[0], sides[0] * 2, SPLIT, 0).infinite


@pytest.mark.parametrize("unit", [1e-310, 1e-300, 1e300])
def test_no_unit_changes_what_a_column_is(unit):
    x, y, *_ = gaussian(samples=100)
    assert torch.allclose(pose(x * unit, y, SPLIT, 0).pairs.x, pose(x, y, SPLIT, 0).pairs.x, atol=1e-4)


def test_columns_that_order_the_rows_as_others_do_are_left_out():
    x, z = np.random.default_rng(0).standard_normal((2, 50, 3))
    copies = np.stack([x[:, 0], -(x[:, 0] ** 3), x[:, 1], np.ones(50), x[:, 1]], 1)
    assert np.array_equal(informative(copies, "x"), copies[:, [0, 2]])
    sample = Sample(copies, np.column_stack([x[:, 2], z[:, 0] * 1e300]), None, z)
    of_x, of_y, of_z = tables_of(sample)
    assert of_x.shape == (50, 2) and np.array_equal(of_y, x[:, 2:]) and np.array_equal(of_z, z)
    with pytest.raises(UserError, match="z holds every column of x, or a function of it"):
        tables_of(sample._replace(z=x))


# 3. Densities.


@pytest.mark.parametrize("given, dim", [(0, 2), (3, 2), (2, 1)])
def test_a_density_integrates_to_one_whatever_its_weights(given, dim):
    torch.manual_seed(0)
    density = Autoregressive(torch.randn(50, given), torch.randn(50, dim), hidden=16, components=3, shrinkage=0.0)
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
    density = Autoregressive(z[:, :2], z[:, 2:], hidden=16, components=4, shrinkage=0.0)
    both, given = (torch.distributions.MultivariateNormal(v.mean(0), torch.cov(v.T)).log_prob(v) for v in (z, z[:, :2]))
    torch.testing.assert_close(density(z[:, :2], z[:, 2:]).mean(), (both - given).mean(), atol=0.01, rtol=0)


@pytest.mark.parametrize("mi", [0.0, 2.0, 10.0])
def test_entropies_are_within_their_interval_on_gaussian_pairs(mi):
    value, error = by_entropies(gaussian(dim=10, mi=mi, samples=2500), steps=50).estimate
    assert abs(value - mi) < 3 * error + 0.02 * mi  # what fitting 20 dimensions on 1300 pairs costs


@pytest.mark.parametrize("samples", [10, 11, 14])
def test_entropies_of_few_pairs_are_a_number_or_none_stands(samples):
    estimate = by_entropies(gaussian(dim=1, samples=samples), steps=2).estimate
    assert math.isfinite(estimate.value) or estimate.failure() == "it reads nan"


def test_entropies_learn_what_a_gaussian_copula_misses():
    sample = Student(samples=3000, dim=3, df=1.0).draw(np.random.default_rng(0))
    reading = by_entropies(sample, steps=300)
    value, error = reading.estimate
    assert abs(copula(sample.x, sample.y).value) < 0.05
    assert reading.curve.chosen > 0 and 0.6 * sample.exact < value < sample.exact + 3 * error


def test_entropies_take_the_narrower_side_for_the_density():
    rng = np.random.default_rng(0)
    angle = rng.uniform(0, 2 * np.pi, (2000, 1))
    circle, y = np.hstack([np.cos(angle), np.sin(angle)]), np.cos(angle) + 0.5 * rng.standard_normal((2000, 1))
    one, other = (by_entropies(Sample(*pair, None), steps=100).estimate.value for pair in ((circle, y), (y, circle)))
    assert one == pytest.approx(other, abs=0.05)
    assert 0.3 < one < 1.2  # a density on the circle, which has no area, would read anything
