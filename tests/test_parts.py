"""Encoders, posteriors, decoders, critics, optimizer: what their docstrings claim."""

import copy
import math

import pytest
import torch
from torch.distributions import Bernoulli, Normal, kl_divergence

from helpers import composed
from ssvae_cli import critics
from ssvae_cli.decoders import ConvDecoder
from ssvae_cli.distributions.spaces import SPACES
from ssvae_cli.encoders import ConvNet, posteriors
from ssvae_cli.encoders.torchvision_models import TorchvisionModel
from ssvae_cli.errors import UserError
from ssvae_cli.estimators import Classifier
from ssvae_cli.estimators.classifier import cross_entropy
from ssvae_cli.estimators.entropies import Conditionals
from ssvae_cli.instantiate.build import build
from ssvae_cli.objective import make_objective
from ssvae_cli.optimizers import AdamW
from ssvae_cli.priors import Encoded, Gaussian, UnstructuredNormal


def gaussian(parameters):
    return posteriors.Gaussian(least_std=0.0025, largest_std=7.5)(parameters, SPACES["euclidean"])


def test_a_stride_of_2_halves_the_image_before_all_else():
    x = torch.randn(2, 1, 28, 28)
    full, halved = (ConvNet(shape=(1, 28, 28), width=4, stages=2, stride=stride, pool=2) for stride in (1, 2))
    assert full.layers(x).shape == (2, 8, 14, 14) and halved.layers(x).shape == (2, 8, 7, 7)
    assert full(x).shape == halved(x).shape == (2, full.out_dim)
    with pytest.raises(UserError, match="stride must be 1 or 2, got 3"):
        ConvNet(shape=(1, 28, 28), width=4, stages=2, stride=3, pool=2)


def test_the_convnet_averages_its_last_stage_to_the_side_asked_or_leaves_a_smaller_one():
    for pool, side in ((1, 1), (4, 4), (9, 7)):  # the last of two stages of 14x14 is 7x7
        net = ConvNet(shape=(1, 14, 14), width=3, stages=2, stride=1, pool=pool)
        assert net.out_dim == net(torch.randn(2, 1, 14, 14)).shape[1] == 6 * side**2


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 32, 32)])
@pytest.mark.parametrize("posterior", ["deterministic", "gaussian"])
@pytest.mark.parametrize("kind", ["convnet", "mlp", "linear", "resnet18", "torchvision"])
def test_every_encoder_takes_small_images_to_features_and_a_posterior(kind, posterior, shape):
    names = ["encoder.backbone.name=resnet18"] if kind == "torchvision" else []
    config = composed(f"encoder={kind}", f"posterior={posterior}", "encoder.latent_dim=16", *names)
    encoder = build(config.encoder, "encoder", shape=shape, posterior=build(config.posterior, "posterior"))
    x = torch.randn(3, *shape)
    assert encoder.features(x).shape == (3, encoder.backbone.out_dim)
    posterior = encoder(x)
    assert posterior.sample().shape == posterior.mean.shape == (3, 16)
    assert encoder.stochastic == (not torch.equal(posterior.sample(), posterior.sample()))


@pytest.mark.parametrize("choice", ["encoder_prime=separate", "encoder@encoder_prime=mlp"])
def test_the_second_encoder_has_latents_of_the_firsts_length(choice):
    config = composed(choice, "encoder.latent_dim=7")
    encoder_prime = make_objective(config, (1, 8, 8), (1, 8, 8)).encoder_prime
    assert encoder_prime(torch.randn(3, 1, 8, 8)).mean.shape == (3, 7)


def test_a_model_torchvision_does_not_have_is_refused_with_the_nearest():
    config = composed("encoder=torchvision", "encoder.backbone.name=resnet81")
    with pytest.raises(UserError, match="did you mean 'resnet18'"):
        build(config.encoder, "encoder", shape=(3, 32, 32))


@pytest.mark.parametrize("name", ["mobilenet_v3_small", "efficientnet_b0", "convnext_tiny", "vgg11"])
def test_other_torchvision_models_lose_their_classifier(name):
    backbone = TorchvisionModel(shape=(3, 32, 32), name=name, small_stem=False)
    assert backbone.out_dim != 1000 and backbone(torch.randn(2, 3, 32, 32)).shape == (2, backbone.out_dim)


def test_images_too_small_for_a_model_are_refused_in_a_line():
    with pytest.raises(UserError, match="cannot take images of 1x8x8") as error:
        TorchvisionModel(shape=(1, 8, 8), name="alexnet", small_stem=False)
    assert "\n" not in str(error.value)


def test_a_posterior_in_the_box_is_a_density_there_and_its_samples_come_from_it():
    parameters = torch.tensor([[0.5, -1.0, 0.3, -0.5]], dtype=torch.float64)
    posterior = posteriors.LogitNormal(least_std=0.1, largest_std=2.0)(parameters, SPACES["box"])
    side = (torch.arange(400, dtype=torch.float64) + 0.5) / 400
    grid = torch.cartesian_prod(side, side)
    density = posterior.log_prob(grid).exp()
    assert abs(density.mean().item() - 1) < 1e-4
    assert torch.equal(posterior.log_prob_table(grid[:5])[:, 0], posterior.log_prob(grid[:5]))
    many = posteriors.LogitNormal(least_std=0.1, largest_std=2.0)(parameters.expand(200_000, -1), SPACES["box"])
    z = many.sample(torch.Generator().manual_seed(0))
    expected = (density[:, None] * grid).mean(0)
    assert torch.allclose(z.mean(0), expected, atol=4 * z.std(0).max().item() / math.sqrt(len(z)))


def test_a_posteriors_noise_stays_within_its_bounds():
    raw = torch.tensor([[0.0, 0.0, -1e4, 1e4]])
    log_std = posteriors.Gaussian(least_std=0.05, largest_std=2.0)(raw, SPACES["euclidean"]).log_std
    assert torch.allclose(log_std.exp(), torch.tensor([[0.05, 2.0]]))


def test_the_gaussian_posterior_agrees_with_torchs_normal():
    posterior = gaussian(torch.randn(5, 8))
    normal = Normal(posterior.mean, posterior.log_std.exp())
    z = posterior.sample()
    assert torch.allclose(posterior.log_prob(z), normal.log_prob(z).sum(1), atol=1e-5)
    standard = Normal(torch.zeros(5, 4), torch.ones(5, 4))
    assert torch.allclose(posterior.kl_standard_normal(), kl_divergence(normal, standard).sum(1), atol=1e-5)


def test_the_reparametrised_gradient_is_that_of_the_closed_form():
    """d/d mean E |z|^2 = 2 mean, d/d std E |z|^2 = 2 std."""
    mean, raw = torch.tensor([[0.7]], requires_grad=True), torch.zeros(1, 1, requires_grad=True)
    posterior = gaussian(torch.cat([mean, raw], 1).expand(200_000, 2))
    (posterior.sample() ** 2).mean().backward()
    std = math.exp(-2)  # at raw = 0, where d log_std / d raw = 1
    assert mean.grad.item() == pytest.approx(2 * 0.7, rel=0.01)
    assert raw.grad.item() == pytest.approx(2 * std**2, rel=0.05)


def test_the_likelihood_of_a_view_with_noise_is_bounded():
    decoder = ConvDecoder(shape=(1, 8, 8), latent_dim=4, width=4, likelihood="bernoulli").eval()
    torch.nn.init.constant_(decoder.layers[-1].bias, 100.0)  # a decoder sure of 1 everywhere
    assert decoder.log_likelihood(torch.full((2, 1, 8, 8), 1.5), torch.zeros(2, 4)).max() <= 0


@pytest.mark.parametrize("beta", [0.0, 4.0])
def test_beta_weighs_the_kl_in_training_which_then_maximises_no_elbo(beta):
    def made(beta):
        torch.manual_seed(0)
        return make_objective(composed("decoder=conv", f"decoder.beta={beta}"), (1, 8, 8), (1, 8, 8)).eval()

    plain, weighed, x = made(1.0), made(beta), torch.rand(5, 1, 8, 8)
    encoded = plain.encode(x)
    kl = plain.prior.posterior_kl(encoded.posteriors[0]).mean().item()
    difference = plain.elbo(encoded, x) - weighed.elbo(encoded, x)
    assert difference.item() == pytest.approx((beta - 1) * kl, rel=1e-4)
    assert plain.estimates_elbo and plain.notes() == []
    assert not weighed.estimates_elbo and weighed.notes()[0].startswith(f"decoder.beta={beta} estimates no ELBO")


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 32, 32), (1, 28, 28), (3, 33, 18)])
@pytest.mark.parametrize("likelihood", ["bernoulli", "gaussian"])
def test_a_decoders_log_likelihood_is_torchs_summed_over_pixels(likelihood, shape):
    decoder = ConvDecoder(shape=shape, latent_dim=4, width=4, likelihood=likelihood)
    x, z = torch.rand(3, *shape).round(), torch.randn(3, 4)
    predicted = decoder(z)
    assert predicted.shape == x.shape
    pixels = Bernoulli(logits=predicted) if likelihood == "bernoulli" else Normal(predicted, decoder.log_std.exp())
    assert torch.allclose(decoder.log_likelihood(x, z), pixels.log_prob(x).flatten(1).sum(1), rtol=1e-4)


CRITICS = {
    "bilinear": lambda: critics.Bilinear(latent_dim=6),
    "cosine": lambda: critics.Cosine(temperature=0.2, learn_temperature=True),
    "rbf": lambda: critics.RBF(bandwidth=0.7),
    "diagonal_rbf": lambda: critics.DiagonalRBF(bandwidth=0.7, latent_dim=6),
    "bilinear_bias": lambda: critics.BilinearBias(latent_dim=6, hidden=[8]),
    "laplace": lambda: critics.Laplace(scale=0.7),
    "student": lambda: critics.Student(df=3.0, scale=0.7),
    "mlp": lambda: critics.MLP(latent_dim=6, hidden=[16, 16]),
    "separable": lambda: critics.Separable(latent_dim=6, hidden=[16], embedding_dim=8),
    "convnet": lambda: critics.Convnet(latent_dim=6, hidden=[8], embedding_dim=8, width=4, images=((1, 2, 3), None)),
}


@pytest.mark.parametrize("name", CRITICS)
def test_a_table_holds_the_score_of_every_pair(name):
    torch.manual_seed(1)
    critic = CRITICS[name]().double()
    z, z_prime = torch.randn(5, 6, dtype=torch.float64), torch.randn(7, 6, dtype=torch.float64)
    table = critic(z, z_prime)
    assert table.shape == (5, 7)
    for i in range(5):
        row = critic.paired(z[i].expand(7, 6), z_prime)
        assert torch.allclose(table[i], row, rtol=1e-10, atol=1e-10)


def test_critics_by_hand():
    z, z_prime = torch.tensor([[3.0, 4.0]]), torch.tensor([[4.0, 3.0]])
    assert critics.Cosine(temperature=0.5)(z, z_prime).item() == pytest.approx(2 * 24 / 25)
    assert critics.RBF(bandwidth=2.0)(z, z_prime).item() == pytest.approx(-2 / 8)
    assert critics.Laplace(scale=0.5)(z, z_prime).item() == pytest.approx(-4.0)
    assert critics.Student(df=2.0, scale=1.0)(z, z_prime).item() == pytest.approx(-1.5 * math.log(2))
    diagonal = critics.DiagonalRBF(bandwidth=1.0, latent_dim=2)
    diagonal.log_bandwidth.data = torch.tensor([0.0, math.log(2.0)])
    assert diagonal(z, z_prime).item() == pytest.approx(-0.5 * (1 + 1 / 4))
    bilinear = critics.Bilinear(latent_dim=2)
    bilinear.weight.data = torch.tensor([[0.0, 1.0], [0.0, 0.0]])
    assert bilinear(z, z_prime).item() == pytest.approx(9.0)  # z_1 z'_2, not z_2 z'_1


@pytest.mark.parametrize("name", CRITICS)
def test_scores_stay_in_float32_under_autocast(name):
    critic = CRITICS[name]()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert critic(torch.randn(4, 6).bfloat16(), torch.randn(4, 6).bfloat16()).dtype == torch.float32


def test_rbf_distances_far_from_the_origin_keep_their_digits():
    z = torch.randn(8, 4)
    near, far = (critics.RBF(bandwidth=1.0)(z + shift, z + shift) for shift in (0.0, 100.0))
    assert torch.allclose(near, far, atol=1e-3)


def test_the_encoder_sees_the_classifier_frozen_and_the_classifier_the_latents_frozen():
    """The encoder sees E log P(z) + H(z); D takes its own steps on its cross-entropy, and no gradient of the ELBO."""
    estimator, prior = Classifier(dims=[3, 3], hidden=[8], lr=0.1, steps=2, replay=1), UnstructuredNormal()
    z = torch.randn(16, 3, requires_grad=True)
    before = [p.clone() for p in estimator.networks[0].parameters()]
    prior.elbo(estimator, Encoded((z,), (None,))).backward()
    network = estimator.networks[0]
    assert all(not torch.equal(p, old) and not p.requires_grad for p, old in zip(network.parameters(), before))
    white, log_jacobian = prior.space.standardiser(z)(z)
    log_ratio = network(white).squeeze(1).mean().clamp_max(0)
    log_q = (prior.log_prob(white) + log_jacobian).mean() - log_ratio
    (plain,) = torch.autograd.grad(prior.log_prob(z).mean() - log_q, z)
    assert torch.allclose(z.grad, plain, atol=1e-6)
    u = prior.space.standardiser(z.detach())(z.detach())[0]
    twin = copy.deepcopy(estimator)
    torch.manual_seed(0)
    loss = cross_entropy(lambda x: twin.networks[0](x).squeeze(1), prior.space.sample(u), u).item()
    for _ in range(50):
        twin.learn(u, prior.space, 0)
    torch.manual_seed(0)
    assert cross_entropy(lambda x: twin.networks[0](x).squeeze(1), prior.space.sample(u), u).item() < loss


def test_a_classifier_goes_on_from_its_checkpoint_to_the_same_bits():
    def learnt(count, estimator):
        for i in range(count):
            torch.manual_seed(i)
            estimator.learn(torch.randn(8, 2), SPACES["euclidean"], 0)
        return estimator

    make = lambda: Classifier(dims=[2, 2], hidden=[4], lr=0.1, steps=2, replay=2)
    torch.manual_seed(9)
    first = learnt(3, make())
    resumed = make()
    resumed.load_state_dict(copy.deepcopy(first.state_dict()))
    for estimator in (first, resumed):
        learnt(3, estimator)
    for a, b in zip(first.networks.parameters(), resumed.networks.parameters()):
        assert torch.equal(a, b)


def test_parts_without_any_parameter_are_refused_in_a_line():
    with pytest.raises(UserError, match="nothing to train"):
        AdamW(lr=1.0, weight_decay=0.1, warmup=0.1, clip=None).attach([torch.nn.ReLU()], total_steps=1)


def test_the_rate_warms_up_and_ends_near_zero():
    optimization = AdamW(lr=1.0, weight_decay=0.1, warmup=0.1, clip=None)
    optimization.attach([torch.nn.Linear(3, 2)], total_steps=100)
    rates = [optimization.rate(s) for s in range(100)]
    assert rates[0] < rates[5] < rates[10] and max(rates) <= 1.0 and rates[-1] < 0.01
    assert [len(g["params"]) for g in optimization.optimizer.param_groups] == [1, 1]
    assert [g["weight_decay"] for g in optimization.optimizer.param_groups] == [0.1, 0.0]


@pytest.mark.parametrize(("given", "times"), [("auto", 5.0), (2.0, 2.0), (0.0, 0.0)])
def test_the_priors_parameters_learn_at_a_rate_of_their_own(given, times):
    prior = Gaussian(latent_dim=2, correlation=0.5, learn=True, covariance="correlation")
    layer, before = torch.nn.Linear(2, 2), prior.raw.clone()
    optimization = AdamW(lr=0.01, weight_decay=0.1, warmup=0.0, clip=None, prior_lr=given)
    suits = {"prior_lr": Conditionals.suits["prior_lr"]}
    optimization.attach([layer, prior], total_steps=10, of_prior=prior.own_parameters(), suits=suits)
    (prior.raw.sum() + layer.weight.sum()).backward()
    weight = layer.weight.clone()
    optimization.step(0)
    assert torch.allclose(
        before - prior.raw, torch.full((2,), 0.01 * times), atol=1e-6
    )  # Adam's first step is its rate
    assert torch.allclose(weight * (1 - 0.001) - layer.weight, torch.full((2, 2), 0.01), atol=1e-6)
