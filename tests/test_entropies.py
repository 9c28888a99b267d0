"""Each estimator reads the entropy of samples whose entropy is known, to its stated side."""

import math

import pytest
import torch

from ssvae_cli.distributions.products import Spheres
from ssvae_cli.distributions.spaces import SPACES, log_area
from ssvae_cli.distributions.von_mises_fisher import log_normaliser, mean_cosine
from ssvae_cli.distributions.von_mises_fisher import sample as vmf_sample
from ssvae_cli.encoders.posteriors import Gaussian
from ssvae_cli.errors import UserError
from ssvae_cli.estimators import KDE, KNN, Aggregate, Classifier, LogDet, Sliced, Telescoping

EUCLIDEAN, SPHERE, BOX = SPACES.values()
SKEW = torch.tensor([[2.0, 0, 0], [1, 0.5, 0], [0, 1, 1]], dtype=torch.float64)
NORMAL_3D = 1.5 * math.log(2 * math.pi * math.e) + torch.linalg.det(SKEW).log().item()


def normal(count, seed=0):
    g = torch.Generator().manual_seed(seed)
    return torch.randn(count, 3, dtype=torch.float64, generator=g) @ SKEW.T + 7


def gaussian(parameters):
    return Gaussian(least_std=0.0025, largest_std=7.5)(parameters, EUCLIDEAN)


def of(estimator, z, space, posterior=None):
    """H(z) of one batch."""
    return estimator(z, posterior=posterior, space=space, side=0)


def read(estimator, samples, space, posteriors=None):
    """(mean over batches of 256, its standard error)."""
    batches = samples.split(256)
    values = [of(estimator, z, space, posteriors and posteriors[i]) for i, z in enumerate(batches)]
    values = torch.stack(values).detach()
    return values.mean().item(), values.std().item() / math.sqrt(len(values))


def test_logdet_is_exact_on_normal_samples_and_high_on_others():
    value, error = read(LogDet(), normal(256 * 100), EUCLIDEAN)
    assert abs(value - NORMAL_3D) < 4 * error < 0.05
    uniform = torch.rand(256 * 20, 3, dtype=torch.float64)
    assert read(LogDet(), uniform, EUCLIDEAN)[0] > 0.4  # truth 0, normal of that covariance 0.53


def test_nearest_neighbours_read_the_entropy_of_a_normal_a_cube_and_a_cap():
    value, error = read(KNN(k=3), normal(256 * 100), EUCLIDEAN)
    assert abs(value - NORMAL_3D) < 4 * error + 0.1  # the ball is not small at 256 samples
    value, error = read(KNN(k=3), torch.rand(256 * 40, 2, dtype=torch.float64), BOX)
    assert abs(value) < 4 * error + 0.1
    for dim in (3, 8):
        value, error = read(KNN(k=3), SPHERE.sample(torch.empty(256 * 40, dim, dtype=torch.float64)), SPHERE)
        assert abs(value - log_area(dim)) < 4 * error + 0.02  # evenly spread: no bias, in any dimension


def test_kernel_densities_overstate_the_entropy_and_little_in_few_dimensions():
    value, error = read(KDE(), normal(256 * 40), EUCLIDEAN)
    assert -4 * error < value - NORMAL_3D < 0.4
    truth = (-log_normaliser(torch.tensor(4.0), 3) - 4 * mean_cosine(torch.tensor(4.0), 3)).item()
    pole = torch.eye(1, 3, dtype=torch.float64).expand(256 * 40, 3)
    value, error = read(KDE(), vmf_sample(pole, torch.tensor(4.0)), SPHERE)
    assert -4 * error < value - truth < 0.3


def points(space, count=40):
    """Two clusters, in R^3 or on the sphere."""
    z = normal(count) - 7 + 3 * torch.arange(count)[:, None].remainder(2)
    return space.project(z)


def log_kernel(space, z, bandwidth):
    """log k(z_i, z_j) and the mean log Jacobian, a pair at a time."""
    log_jacobian = 0.0
    if space is EUCLIDEAN:
        factor = torch.linalg.cholesky(torch.cov(z.T))
        z, log_jacobian = (z - z.mean(0)) @ torch.linalg.inv(factor).T, -factor.diagonal().log().sum()
        of_pair = torch.distributions.Normal(0.0, bandwidth).log_prob
        return torch.stack([torch.stack([of_pair(a - b).sum() for b in z]) for a in z]), log_jacobian
    kappa = torch.tensor(bandwidth**-2, dtype=torch.float64)
    return kappa * z @ z.T + log_normaliser(kappa, 3), log_jacobian


@pytest.mark.parametrize("space", [EUCLIDEAN, SPHERE], ids=["plane", "sphere"])
def test_a_kernel_density_of_a_fixed_bandwidth_is_the_sum_over_all_others(space):
    z, others = points(space), ~torch.eye(40, dtype=torch.bool)
    log_k, log_jacobian = log_kernel(space, z, 0.4)
    densities = (log_k.exp() * others).sum(1) / 39
    assert torch.allclose(of(KDE(bandwidth=0.4), z, space), -densities.log().mean() - log_jacobian, atol=1e-5)
    assert torch.allclose(of(KDE(bandwidth=0.4, order=2), z, space), -densities.mean().log() - log_jacobian, atol=1e-5)


@pytest.mark.parametrize("space", [EUCLIDEAN, SPHERE], ids=["plane", "sphere"])
def test_the_likeliest_bandwidth_is_that_of_a_grid_and_a_learned_one_ends_there(space):
    z = points(space)
    grid = min(of(KDE(bandwidth=h), z, space).item() for h in torch.logspace(-1.5, 0.5, 200).tolist())
    chosen, learned = of(KDE(bandwidth="leave_one_out"), z, space).item(), KDE(bandwidth="learned")
    assert grid - 1e-3 < chosen < grid + 1e-3 < of(KDE(), z, space).item() - 0.01
    optimizer = torch.optim.Adam(learned.parameters(), lr=0.1)
    for _ in range(60):  # as in training: the loss is minus an ELBO that contains + H
        optimizer.zero_grad()
        (-of(learned, z, space)).backward()
        optimizer.step()
    assert of(learned, z, space).item() == pytest.approx(chosen, abs=1e-3)


@pytest.mark.parametrize("space", [EUCLIDEAN, SPHERE], ids=["plane", "sphere"])
def test_a_cut_tail_leaves_out_the_farthest_and_biases_down(space):
    z = points(space)
    whole, cut = of(KNN(k=2), z, space), of(KNN(k=2, tail=0.25), z, space)
    u, dim = (EUCLIDEAN.standardiser(z)(z)[0], 3) if space is EUCLIDEAN else (z, 2)
    distances = torch.cdist(u, u).sort(1).values[:, 2].sort().values
    if space is SPHERE:
        distances = torch.sin(torch.asin(distances / 2))  # the area of a cap in three dimensions is 4 pi sin^2(angle/2)
    expected = dim * (distances.log().mean() - distances[:30].log().mean())
    assert torch.allclose(whole - cut, expected, atol=1e-5) and expected > 0.1
    with pytest.raises(UserError, match=r"tail must lie in \[0, 1\), got 1"):
        KNN(k=2, tail=1.0)


def test_moments_on_the_sphere_are_exact_on_uniform_samples_and_an_upper_end_elsewhere():
    for dim in (3, 8):
        uniform = SPHERE.sample(torch.empty(256 * 60, dim, dtype=torch.float64), torch.Generator().manual_seed(0))
        value, error = read(LogDet(), uniform, SPHERE)
        assert abs(value - log_area(dim)) < 4 * error + 1e-3 < 0.02
    kappa = torch.tensor(20.0, dtype=torch.float64)
    truth = (-log_normaliser(kappa, 3) - kappa * mean_cosine(kappa, 3)).item()
    pole = torch.eye(1, 3, dtype=torch.float64).expand(256 * 20, 3)
    value, error = read(LogDet(), vmf_sample(pole, kappa, torch.Generator().manual_seed(0)), SPHERE)
    assert truth < value - 4 * error and value < log_area(3) - 1


def test_moments_on_two_spheres_are_those_of_one_for_one_and_an_upper_end_for_neighbours():
    kappa, g = torch.tensor(8.0, dtype=torch.float64), torch.Generator().manual_seed(0)
    z = SPHERE.sample(torch.empty(256 * 40, 4, dtype=torch.float64), g)
    assert torch.allclose(Spheres(1).entropy_of_moments(z), SPHERE.entropy_of_moments(z))
    truth = (log_area(4) - log_normaliser(kappa, 4) - kappa * mean_cosine(kappa, 4)).item()
    value, error = read(LogDet(), torch.cat([z, vmf_sample(z, kappa, g)], 1), Spheres(2))
    assert truth < value - 4 * error and value < 2 * log_area(4) - 1


def test_sliced_tests_read_the_normal_entropy_less_the_same_penalty_at_every_size():
    torch.manual_seed(0)
    h, expected = 1.5 * math.log(2 * math.pi * math.e), 1.0526  # int (1 - e^(-t^2)) e^(-t^2/2) dt from -3 to 3
    estimator = Sliced(slices=64, weight=0.5)
    for count in (50, 400):
        values = torch.stack([of(estimator, torch.randn(count, 3, dtype=torch.float64), EUCLIDEAN) for _ in range(200)])
        penalty, error = (h - values.mean().item()) / 1.5, values.std().item() / math.sqrt(len(values)) / 1.5
        assert abs(penalty - expected) < 4 * error < 0.2
    assert of(estimator, 3 * torch.randn(400, 3), EUCLIDEAN) < h - 30


def test_the_mixture_of_posteriors_understates_and_stops_at_its_ceiling():
    """x ~ N(0, I), Q(z|x) = N(x, s^2): H(z) is known; at s -> 0 the estimate stays at H(z|x) + log B."""
    g = torch.Generator().manual_seed(0)
    for std, reaches in ((1.0, True), (1e-2, False)):
        parameters = [_gaussian_parameters(torch.randn(256, 3, generator=g), std) for _ in range(40)]
        posteriors = [gaussian(p) for p in parameters]
        z = torch.cat([p.sample(g) for p in posteriors])
        value, error = read(Aggregate(), z, EUCLIDEAN, posteriors)
        truth = 1.5 * math.log(2 * math.pi * math.e * (1 + std**2))
        ceiling = 1.5 * math.log(2 * math.pi * math.e * std**2) + math.log(256)
        assert value < min(truth, ceiling) + 4 * error
        assert (value > truth - 0.1) if reaches else (value > ceiling - 0.2)


def _gaussian_parameters(mean, std):
    return torch.cat([mean, torch.full_like(mean, 4 * math.atanh((math.log(std) + 2) / 4))], 1)


@pytest.mark.parametrize("space", SPACES.values(), ids=SPACES)
@pytest.mark.parametrize("make", [Classifier, lambda **k: Telescoping(bridges=3, **k)], ids=["classifier", "bridges"])
def test_a_trained_classifier_reads_an_entropy_that_moments_do_not_show(space, make):
    """Two clusters: the moments' entropy is too high, and the classifier finds most of what is missing."""
    torch.manual_seed(0)

    def clusters(count):
        sign = torch.where(torch.rand(count, 1) < 0.5, 1.0, -1.0) * torch.tensor([1.0, 1.0])
        if space.name == "box":
            return (sign + 0.5 * torch.randn(count, 2)).sigmoid()
        z = 2 * sign + 0.5 * torch.randn(count, 2)
        return torch.nn.functional.normalize(z.abs() * sign[:, :1]) if space.name == "sphere" else z

    estimator = make(dims=[2, 2], hidden=[64, 64], lr=3e-3, steps=1, replay=1)
    start = torch.stack([of(estimator.eval(), clusters(256), space) for _ in range(20)]).mean().item()
    estimator.train()
    for _ in range(400):
        of(estimator, clusters(256), space)
    estimator.eval()
    value = torch.stack([of(estimator, clusters(256), space) for _ in range(50)]).mean().item()
    truth, error = read(KNN(k=3), clusters(256 * 50), space)
    assert abs(value - truth) < 0.25 + 4 * error
    assert space.name == "sphere" or abs(start - truth) > 0.4


@pytest.mark.parametrize(
    "estimator", [KNN(k=4), KNN(k=1), KDE(), LogDet(), Classifier(dims=[4], hidden=[4], lr=0.1, steps=1, replay=0)]
)
def test_a_batch_without_a_covariance_or_a_neighbour_is_refused(estimator):
    """Whose coordinates cannot be made white; a bound by its covariance is none."""
    with pytest.raises(UserError, match=f"{estimator.name} needs a batch of at least 5 rows for 4 coordinates, got 4"):
        of(estimator, torch.randn(4, 4), EUCLIDEAN)
    assert of(estimator, torch.randn(5, 4), EUCLIDEAN).isfinite()
    assert EUCLIDEAN.largest_entropy(torch.randn(4, 4)) == math.inf


def test_moments_on_several_spheres_are_those_of_each():
    """So a joint decoder of n views needs no larger batch than an implicit one."""
    classifier = Classifier(dims=[8], hidden=[4], lr=0.1, steps=1, replay=0)
    assert of(classifier, Spheres(2).project(torch.randn(5, 8)), Spheres(2)).isfinite()
    with pytest.raises(UserError, match="classifier needs a batch of at least 5 rows for 8 coordinates, got 4"):
        of(classifier, Spheres(2).project(torch.randn(4, 8)), Spheres(2))
