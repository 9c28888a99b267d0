"""Normalised densities of latents: their cross-entropy on held-out samples is H(Q), and never far below it (nats)."""

import math
from dataclasses import replace

import pytest
import torch

from ssvae_cli.device import floats, in_precision
from ssvae_cli.distributions.spaces import SPACES
from ssvae_cli.distributions.von_mises_fisher import log_normaliser, sample
from ssvae_cli.evaluation.densities import Densities, DensityFit
from ssvae_cli.evaluation.densities.autoregressive import MixtureOfNormals
from ssvae_cli.evaluation.densities.choice import Density, mixture_weights
from ssvae_cli.evaluation.densities.clusters import MOST, Clusters, log_normals
from ssvae_cli.evaluation.densities.directions import Directions
from ssvae_cli.evaluation.densities.held_out import missing
from ssvae_cli.evaluation.fit import Fit
from ssvae_cli.evaluation.samples import Pairs

FIT = DensityFit(
    hidden=32, components=3, clusters=[3], training=Fit(steps=150, batch_size=256, lr=0.01, eval_every=25, patience=3)
)
KAPPA = torch.tensor(20.0, dtype=torch.float64)
CENTRES = torch.tensor([[8.0, 0.0], [0.0, 8.0], [-8.0, -8.0]])


def normal(count, generator):
    """Thin: standard deviations 1 and 1e-3, along no axis."""
    z = torch.randn(count, 2, generator=generator)
    turn = torch.tensor([[0.8, -0.6], [0.6, 0.8]])
    return (z * torch.tensor([1.0, 1e-3])) @ turn.T, -math.log(1e-3) + SPACES["euclidean"].log_prob(z)


def clusters(count, generator):
    k = torch.randint(3, (count,), generator=generator)
    z = CENTRES[k] + torch.randn(count, 2, generator=generator)
    return z, SPACES["euclidean"].log_prob(z[:, None] - CENTRES).logsumexp(1) - math.log(3)


def box(count, generator):
    s = torch.randn(count, 2, generator=generator)
    z = s.sigmoid()
    return z, SPACES["euclidean"].log_prob(s) - (z * (1 - z)).log().sum(1)


def vmf(count, generator):
    mean = torch.tensor([[0.0, 0.6, 0.8]]).expand(count, 3)
    z = sample(mean, KAPPA, generator)
    return z, log_normaliser(KAPPA, 3) + KAPPA * (z * mean).sum(1)


SHAPES = {"normal": normal, "clusters": clusters, "box": box, "vmf": vmf}


@pytest.mark.parametrize("name", SHAPES)
def test_a_density_reads_the_entropy_of_a_known_q(name):
    space = SPACES[{"box": "box", "vmf": "sphere"}.get(name, "euclidean")]
    generator = torch.Generator().manual_seed(0)
    (train, _), (validation, _), (test, exact) = (SHAPES[name](n, generator) for n in (1000, 500, 4000))
    alone = lambda y: Pairs(y[:, :0], y)
    log_q = FIT(alone(train), alone(validation), space)(*alone(test))
    assert abs((log_q - exact).mean().item()) < 0.06
    assert log_q.mean() < exact.mean() + 0.02, "an upper end of the entropy"


def test_a_conditional_density_reads_i_and_what_it_misses_is_expected():
    rho, count = 0.9, 1000
    information = -math.log(1 - rho**2)  # of two coordinates
    pairs = lambda n, seed: normal_pairs(n, rho, torch.Generator().manual_seed(seed))
    densities = Densities(FIT, SPACES["euclidean"], pairs(count, 0), pairs(500, 1), test := pairs(4000, 2), count)
    of_pair, of_marginal = densities.log_q(1, (0,)), densities.log_q(1)
    sampling = (of_pair.terms - of_marginal.terms - exact_ratio(*test, rho)).mean().item()
    assert abs(sampling) < 0.03 < information
    assert 0 <= of_pair.missing < 0.1 and of_pair.error < 0.1


def normal_pairs(count, rho, generator):
    z, e = torch.randn(2, count, 2, generator=generator)
    return z, rho * z + math.sqrt(1 - rho**2) * e


def exact_ratio(z, z_prime, rho):
    normal = torch.distributions.Normal
    conditional = normal(rho * z, math.sqrt(1 - rho**2)).log_prob(z_prime)
    return (conditional - normal(0.0, 1.0).log_prob(z_prime)).sum(1)


@pytest.mark.parametrize(
    "readings, expected, error",
    [
        ((-1.0, -1.4, -2.2), 0.4, 0.4),  # gains fall by a half: as much again as the last
        ((-1.0, -1.4, -1.4 - 0.4 / 0.55), 0.4 * 0.55 / 0.45, 0.4),
        ((-1.0, -1.4, -1.7), 0.8, math.inf),  # gains do not fall: nobody knows
        ((-1.0, -1.01, -1.0), 0.02, 0.03),  # but these are small
        ((-1.0, -0.9, -0.9), 0.0, 0.0),
    ],
)
def test_what_a_fit_misses_continues_the_gains_of_doublings(readings, expected, error):
    assert missing(*readings) == (pytest.approx(expected), pytest.approx(error))


def test_fitting_leaves_the_random_numbers_of_training_alone():
    before = torch.get_rng_state()
    FIT(Pairs(torch.zeros(90, 0), torch.randn(90, 2)), Pairs(torch.zeros(9, 0), torch.randn(9, 2)), SPACES["sphere"])
    drawn = torch.get_rng_state()
    torch.set_rng_state(before)
    torch.randn(90, 2), torch.randn(9, 2)
    assert torch.equal(torch.get_rng_state(), drawn)


@pytest.mark.parametrize("name", SPACES)
def test_a_run_of_float64_has_the_densities_of_float32(name):
    short = replace(FIT, training=replace(FIT.training, steps=20))
    given, z = (SPACES[name].project(torch.randn(900, 3, generator=torch.Generator().manual_seed(n))) for n in (0, 1))
    read = {}
    for precision in ("float32", "float64"):
        with in_precision(precision):
            both = Pairs(*(floats(side) for side in (given, z)))
            train, validation, test = map(both.rows, torch.arange(900).chunk(3))
            read[precision] = short(train, validation, SPACES[name])(*test).mean().item()
    assert read["float64"] == pytest.approx(read["float32"], abs=0.02)


def test_the_gradient_of_a_mixture_of_normals_is_that_of_its_formula():
    parameters, u = torch.randn(3, 3, 4, 2, dtype=torch.float64, requires_grad=True), torch.randn(3, 4, 2).double()

    def formula(parameters):
        weight, mean, log_scale = parameters.unbind(1)
        of_each = torch.distributions.Normal(mean, (4 * torch.tanh(log_scale / 4)).exp()).log_prob(u)
        return (weight.log_softmax(1) + of_each).logsumexp(1).sum(1)

    assert torch.allclose(MixtureOfNormals.apply(parameters, u), formula(parameters))
    gradients = [
        torch.autograd.grad(of(parameters).sum(), parameters)[0]
        for of in (formula, lambda p: MixtureOfNormals.apply(p, u))
    ]
    assert torch.allclose(*gradients)


def test_log_densities_of_clusters_are_those_of_torch_also_in_thin_directions():
    generator = torch.Generator().manual_seed(0)
    x, means = torch.randn(50, 6, generator=generator).double(), torch.randn(3, 6, generator=generator).double()
    lowers = torch.randn(3, 6, 6, generator=generator).double().tril(-1) + torch.logspace(0, -4, 6).double().diag()
    normal = torch.distributions.MultivariateNormal(means, scale_tril=lowers)
    assert torch.allclose(log_normals(x, means, lowers), normal.log_prob(x[:, None]), rtol=1e-9)


def test_a_fit_that_its_steps_limit_has_not_settled():
    """A ring in 40 steps: fits to all, a half and a quarter of the samples in as many steps would read the same."""
    generator = torch.Generator().manual_seed(0)
    short = replace(FIT, clusters=[], training=replace(FIT.training, steps=40, lr=0.004, eval_every=10))

    def ring(count):
        angle, radius = 2 * math.pi * torch.rand(count, generator=generator), torch.randn(count, generator=generator)
        return (1 + 0.05 * radius[:, None]) * torch.stack([angle.cos(), angle.sin()], 1)

    def normals(count):
        return torch.randn(count, 2, generator=generator)

    of_ring, of_normals = (
        Densities(short, SPACES["euclidean"], *((draw(n),) for n in (8000, 1000, 2000)), 8000).log_q(0)
        for draw in (ring, normals)
    )
    assert math.isinf(of_ring.error)
    assert of_normals.error < 0.05, "what is learned in few steps has settled"


def test_all_samples_count_in_clusters_that_a_part_of_them_has_found():
    """So a fit to a half of many samples is worse than one to all, and what is missing is not read as nothing."""
    dim, generator = 24, torch.Generator().manual_seed(0)
    centres, scales = 8 * torch.randn(4, dim, generator=generator), torch.rand(4, dim, generator=generator) + 0.2

    def drawn(count):
        k = torch.randint(4, (count,), generator=generator)
        z = centres[k] + scales[k] * torch.randn(count, dim, generator=generator)
        log_p = SPACES["euclidean"].log_prob((z[:, None] - centres) / scales) - scales.log().sum(1)
        return Pairs(z[:, :0], z), log_p.logsumexp(1) - math.log(4)

    (train, _), (test, exact) = drawn(4 * MOST), drawn(4000)

    def missed(count):
        density = Clusters.fitted(train.rows(slice(count)), test, components=4, generator=generator)
        return (exact - density(*test)).mean().item()

    assert 0 < 2 * missed(4 * MOST) < missed(MOST)


def test_directions_begin_as_the_clusters_of_both_sides_that_the_samples_have():
    """log q(z'|z) of four clusters of each side, within which z and z' are independent, before any training."""
    generator, sphere = torch.Generator().manual_seed(1), SPACES["sphere"]
    centres, kappas = (torch.eye(8)[:4], torch.eye(8)[4:]), torch.tensor([10.0, 40.0, 80.0, 160.0]).double()
    z, z_prime = (
        torch.cat([sample(centre.expand(2000, 8), kappa, generator) for centre, kappa in zip(side, kappas)])
        for side in centres
    )
    log_p = [log_normaliser(kappas, 8) + kappas * (z.double() @ c.T.double()) for z, c in zip((z, z_prime), centres)]
    exact = sum(log_p).logsumexp(1) - log_p[0].logsumexp(1)
    c, y = sphere.unbounded(z)[0], sphere.unbounded(z_prime)[0]
    density = Directions(c, y, components=4, generator=generator)
    found = density(c, y).double() + sphere.log_volume(y)
    assert (found - exact).mean().abs() < 0.02 and (found - exact).std() < 0.1


def test_a_density_of_fewer_samples_has_the_kinds_of_another_and_the_largest_sizes_that_they_allow():
    z, _ = clusters(400, torch.Generator().manual_seed(0))
    alone = Pairs(z[:, :0], z)
    fit = replace(FIT, clusters=[3, 12, 36])
    for used, kinds in [
        ([("clusters", 3)], {("clusters", 3)}),
        ([("clusters", 36)], {("clusters", 12)}),  # 36 clusters need 720 samples
        (
            [("autoregressive", 1), ("clusters", 3), ("clusters", 36)],
            {("autoregressive", 1), ("clusters", 3), ("clusters", 12)},
        ),
        (
            [("directions", 3)],
            {("autoregressive", 1), ("clusters", 3), ("clusters", 12)},
        ),  # none is left: all that there are
    ]:
        weights = torch.full((len(used),), -math.log(len(used)))
        like = Density(dict.fromkeys(used), weights, SPACES["euclidean"], 0)
        assert set(fit(alone, alone, SPACES["euclidean"], like=like).candidates) == kinds, used


def test_the_weights_of_candidates_are_the_likeliest():
    """No candidate's mean ratio to the mixture is above 1, and that of those with a weight is 1; nan has no weight."""
    log_p = 2 * torch.randn(500, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    log_p[:, 1] -= 9
    log_p[:, 2], log_p[0] = math.nan, -math.inf
    log_weights = mixture_weights(log_p)
    rows = log_p[1:].nan_to_num(-math.inf)
    ratios = (rows - (rows + log_weights).logsumexp(1, keepdim=True)).exp().mean(0)
    assert log_weights.logsumexp(0).abs() < 0.01 and log_weights[2] == -math.inf
    assert (ratios < 1.01).all() and (ratios[log_weights > math.log(0.01)] - 1).abs().max() < 0.01
