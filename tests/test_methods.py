"""Known methods as presets, experiment=methods/NAME.

1. What a preset maximises is a constant less a multiple of the method's published loss, written here from its paper;
   and where lightly is installed, of lightly's: value and gradient.
2. Every preset composes, is documented, and trains on data that the program makes.
"""

import math
from functools import cache
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from helpers import composed
from ssvae_cli.cli.other_words import PRESETS
from ssvae_cli.datasets.base import CONTRACT
from ssvae_cli.distributions.von_mises_fisher import log_normaliser
from ssvae_cli.estimators import InfoNCE
from ssvae_cli.estimators.baselines import CrossCorrelation
from ssvae_cli.instantiate.build import build
from ssvae_cli.instantiate.groups import choices
from ssvae_cli.objective import make_objective
from ssvae_cli.optimizers import AdamW
from ssvae_cli.pairs.base import make_pairs
from ssvae_cli.priors import Encoded

NAMES = [name for name in choices("experiment") if name.startswith("methods/")]
B, D = 24, 6
LOG_2PI = math.log(2 * math.pi)


def latents(name: str) -> tuple[tuple[torch.Tensor, ...], tuple[torch.Tensor, ...]]:
    """(z, z'), [B, D] each, float64: two noisy views of the same points; and what the gradient is with respect to."""
    g = torch.Generator().manual_seed(0)
    shared, *noise = torch.randn(3, B, D, dtype=torch.float64, generator=g)
    leaves = tuple((shared + 0.2 * e).requires_grad_() for e in noise)
    return tuple(F.normalize(z) for z in leaves) if name in ON_SPHERE else leaves, leaves


def gradient_of(value: torch.Tensor, leaves: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
    """With respect to both, 0 where there is none."""
    return torch.autograd.grad(value, leaves, allow_unused=True, materialize_grads=True)


def ours(name: str):
    """The prior and the estimator of a preset, in float64."""
    config = composed(f"experiment=methods/{name}", "dataset=digits", "encoder=mlp", f"encoder.latent_dim={D}")
    objective = make_objective(config, (1, 8, 8), (1, 8, 8)).double()
    return objective.prior, objective.estimator


def cross_entropy(scores: torch.Tensor) -> torch.Tensor:
    return F.cross_entropy(scores, torch.arange(len(scores)))


def clip(z, z_prime, prior, estimator):
    scores = F.normalize(z) @ F.normalize(z_prime).T / 0.07
    return 0.5 * (cross_entropy(scores) + cross_entropy(scores.T)), 1.0, math.log(B)


def cpc(z, z_prime, prior, estimator):
    return cross_entropy(z @ prior.critic.weight @ z_prime.T), 1.0, math.log(B)


def moco(z, z_prime, prior, estimator):
    """The keys of the batch and of the queue are the candidates."""
    past = estimator.bank.past()
    keys = torch.cat([z_prime, past.latents[1][past.present]])
    return cross_entropy(F.normalize(z) @ F.normalize(keys).T / 0.2), 1.0, math.log(len(keys))


def alignment_uniformity(z, z_prime, prior, estimator):
    """Wang & Isola's published lines, alpha = t = 2, the weight of uniformity 1."""
    uniformity = lambda z: torch.pdist(z).pow(2).mul(-2).exp().mean().log()
    loss = (z - z_prime).norm(dim=1).pow(2).mean() + 0.5 * (uniformity(z) + uniformity(z_prime))
    constant = prior.space.log_prob(z[0]) + of_vmf(4.0) - 2 * of_vmf(4.0)  # of P, and of both kernels
    return loss, 2.0, constant


def of_vmf(kappa: float) -> torch.Tensor:
    """log C + kappa: the density at the mean."""
    return log_normaliser(torch.tensor(kappa, dtype=torch.float64), D) + kappa


def vicreg(z, z_prime, prior, estimator):
    def regularised(z):
        c = torch.cov(z.T)
        variance = (1 - (z.var(0) + 1e-4).sqrt()).relu().mean()
        return 25 * 0.5 * variance + (c - c.diag().diag()).pow(2).sum() / D

    loss = 25 * F.mse_loss(z, z_prime) + regularised(z) + regularised(z_prime)
    return loss, D / 50, D * (0.5 * LOG_2PI + 1)


def barlow_twins(z, z_prime, prior, estimator):
    standard = lambda z: (z - z.mean(0)) / (z.var(0, correction=0) + 1e-5).sqrt()
    c = standard(z).T @ standard(z_prime) / B
    off = c - c.diag().diag()
    return (c.diag() - 1).pow(2).sum() + 0.005 * off.pow(2).sum(), 1.0, 0.0


def w_mse(z, z_prime, prior, estimator):
    def whitened(z):
        factor = torch.linalg.cholesky(torch.cov(z.T))
        return F.normalize((z - z.mean(0)) @ torch.linalg.inv(factor).T)

    return 2 - 2 * (whitened(z) * whitened(z_prime)).sum(1).mean(), 1.0, 0.0


def byol(z, z_prime, prior, estimator):
    predicted = F.normalize(prior.predictor(z))
    return 2 - 2 * (predicted * z_prime.detach()).sum(1).mean(), 1.0, of_vmf(2.0)


def simsiam(z, z_prime, prior, estimator):
    return -F.cosine_similarity(prior.predictor(z), z_prime.detach()).mean(), 1.0, of_vmf(1.0) - 1


def lejepa(z, z_prime, prior, estimator):
    """lambda = 0.05; directions drawn as the estimator does, for z and then for z'."""
    torch.manual_seed(0)
    t = torch.linspace(-3, 3, 33, dtype=torch.float64)

    def test(z):
        a = torch.randn(D, estimator.slices, dtype=torch.float64)
        of_z = (1j * (z @ (a / a.norm(dim=0)))[..., None] * t).exp().mean(0)
        weight = torch.exp(-0.5 * t**2)
        return B * torch.trapezoid((of_z - weight).abs().square() * weight, t, dim=1).mean()

    centre = 0.5 * (z + z_prime)
    invariance = torch.stack([z - centre, z_prime - centre]).pow(2).mean()
    loss = 0.95 * invariance + 0.05 * 0.5 * (test(z) + test(z_prime))
    return loss, 2 * D / 0.95, D * (0.5 * LOG_2PI + 1)


def cebra(z, z_prime, prior, estimator):
    """The mean of the negatives, without the positive."""
    scores = F.normalize(z) @ F.normalize(z_prime).T
    others = scores.masked_fill(torch.eye(B, dtype=torch.bool), -math.inf).logsumexp(1)
    return (others - scores.diag()).mean(), 1.0, math.log(B - 1)


def dcl(z, z_prime, prior, estimator):
    """InfoNCE with minus the squared distance of z' from A z + b, in the metric of S, z' the anchor."""
    a, b, s = prior.parameters_of_the_step()
    step = z_prime - (z @ a.T + b)[:, None]  # [anchor, candidate, D]
    scores = -0.5 * torch.einsum("ijd,de,ije->ij", step, s.inverse(), step)
    return cross_entropy(scores.T), 1.0, math.log(B)


def ssl_hsic(z, z_prime, prior, estimator):
    """Li et al. 2021: HSIC(Z, Y) for one-hot Y up to a factor, HSIC(Z, Z) by centring matrices; the IMQ kernel."""
    both = torch.cat([z, z_prime])
    k = 1 / (1 + torch.stack([(both - row).pow(2).sum(1) for row in both])).sqrt()
    h = torch.eye(2 * B, dtype=torch.float64) - 1 / (2 * B)
    with_itself = torch.trace(k @ h @ k @ h) / (2 * B - 1) ** 2
    return -(k[:B, B:].diag().mean() - k.mean()) + 3 * with_itself.sqrt(), 1.0, 0.0


PAPERS = {
    function.__name__: function
    for function in (clip, cpc, moco, alignment_uniformity, vicreg, barlow_twins, w_mse, byol, simsiam, lejepa, cebra)
    + (dcl, ssl_hsic)
}
ON_SPHERE = ("alignment_uniformity", "byol", "simsiam", "ssl_hsic")


def of_preset(name: str, parts) -> tuple[torch.Tensor, tuple[torch.Tensor, ...]]:
    """The value that a preset maximises, and its gradient; no gradient flows through the z' of byol and simsiam."""
    prior, estimator = parts
    (z, z_prime), leaves = latents(name)
    torch.manual_seed(0)
    target = z_prime.detach() if name in ("byol", "simsiam") else z_prime
    value = prior.elbo(estimator, Encoded((z, target), (None, None)))
    return value, gradient_of(value, leaves)


def test_no_correlation_of_pairs_of_a_class_is_no_difference_between_the_means_of_classes():
    """The adversary of linear probes: C is sum_c P(c) m_c m_c^T up to the noise within the classes."""
    y, generator = torch.arange(20_000) % 4, torch.Generator().manual_seed(0)
    pair = lambda means: [means[y] + torch.randn(len(y), 3, generator=generator) for _ in range(2)]
    adversary = CrossCorrelation(weight=1.0, diagonal=0.0)
    means = torch.randn(4, 3, generator=generator)
    centred = means - means.mean(0)
    scale = (1 + centred.square().mean(0)).sqrt()
    c = (centred / scale).T @ (centred / scale) / 4
    assert adversary(*pair(means)).item() == pytest.approx(-c.square().sum().item(), rel=0.05)
    assert adversary(*pair(torch.zeros(4, 3))).item() == pytest.approx(0, abs=1e-3)


@pytest.mark.parametrize("name", PAPERS)
def test_a_preset_maximises_a_constant_less_a_multiple_of_the_published_loss(name):
    prior, estimator = parts = ours(name)
    if name == "moco":  # a first batch, which the queue keeps
        estimator.train()
        prior.elbo(estimator, Encoded(tuple(z.detach().flip(0) for z in latents(name)[0]), (None, None)))
    both, leaves = latents(name)
    loss, times, constant = PAPERS[name](*both, prior, estimator)
    value, gradient = of_preset(name, parts)
    assert value.item() == pytest.approx(float(constant) - times * loss.item(), abs=2e-4)
    for one, other in zip(gradient, gradient_of(loss, leaves)):
        assert torch.allclose(one, -times * other, atol=1e-6, rtol=1e-3)
    assert gradient[0].abs().max() > 1e-4


def test_cpc_of_several_steps_is_the_sum_of_a_cross_entropy_for_each():
    config = composed("experiment=methods/cpc_multi", f"encoder.latent_dim={D}")
    prior = make_objective(config, (8, 1, 8, 8), *[(1, 8, 8)] * 4).prior.double()
    g = torch.Generator().manual_seed(0)
    z, *ahead = torch.randn(5, B, D, dtype=torch.float64, generator=g)
    critics = [prior.critic, *prior.further]
    for critic in critics:
        critic.weight.data = torch.randn(D, D, dtype=torch.float64, generator=g)
    losses = [cross_entropy(z @ critic.weight @ later.T) for critic, later in zip(critics, ahead, strict=True)]
    value = prior.elbo(InfoNCE(), Encoded((z, *ahead), (None,) * 5))
    assert value.item() == pytest.approx(4 * math.log(B) - sum(losses).item())


def peer(name: str):
    """lightly's loss of (z, z'), and the multiple of it that our preset maximises."""
    lightly = pytest.importorskip("lightly.loss", reason="lightly is not installed")
    if name == "lejepa":
        from lightly.loss.lejepa_loss import SIGReg, lejepa_invariance_loss

        def loss(z, z_prime):
            torch.manual_seed(0)
            both = torch.stack([z, z_prime])
            tests = [SIGReg(num_vectors=1024)(side) for side in both]
            return 0.95 * lejepa_invariance_loss(all_proj=both, global_proj=both) + 0.025 * sum(tests)

        return loss, 2 * D / 0.95
    if name == "w_mse":
        of_both = lightly.WMSELoss(embedding_dim=D, w_size=B, track_running_stats=False)
        return lambda z, z_prime: of_both(torch.cat([z, z_prime])), 1.0
    losses = {"vicreg": (lightly.VICRegLoss(), D / 50), "barlow_twins": (lightly.BarlowTwinsLoss(), 1.0)}
    losses |= {"simsiam": (lightly.NegativeCosineSimilarity(), 1.0)}
    return losses[name]


@pytest.mark.parametrize("name", ["vicreg", "barlow_twins", "w_mse", "simsiam", "lejepa"])
def test_a_preset_has_the_value_and_the_gradient_of_lightlys_loss(name):
    loss, times = peer(name)
    prior, estimator = parts = ours(name)
    (z, z_prime), leaves = latents(name)
    value = loss(prior.predictor(z), z_prime.detach()) if name == "simsiam" else loss(z, z_prime)
    _, _, constant = PAPERS[name](z, z_prime, prior, estimator)
    own, gradient = of_preset(name, parts)
    assert own.item() == pytest.approx(float(constant) - times * value.item(), abs=2e-4)
    for one, other in zip(gradient, gradient_of(value, leaves)):
        assert torch.allclose(one, -times * other, atol=1e-5, rtol=1e-3)


def test_every_preset_is_documented_and_known_by_the_methods_name():
    text = (Path(__file__).parents[1] / "docs" / "methods.md").read_text()
    assert set(PRESETS) == set(NAMES)
    assert all(f"`{name.removeprefix('methods/')}`" in text for name in NAMES)


@cache
def data_of(dataset: str):
    """Small data of a data set that the program makes."""
    few = {"digits": ["limit=40"], "balls": ["train=24", "validation=4", "test=4"]}[dataset]
    config = composed(f"dataset={dataset}", *(f"dataset.{setting}" for setting in few)).dataset
    return build(config, "dataset", CONTRACT, fitted={})


@pytest.mark.parametrize("name", NAMES)
def test_every_preset_trains_for_two_steps(name):
    own = ["dataset=digits"] if name == "methods/clip" else []  # whose pairs are the user's
    small = ["encoder.backbone.width=8", "encoder.latent_dim=4"]
    config = composed(f"experiment={name}", *own, *small)
    data = data_of("balls" if "balls" in config.dataset._target_ else "digits")
    pairs = make_pairs(config.pairs, data)
    torch.manual_seed(0)
    objective = make_objective(config, *pairs.shapes(data)).train()
    optimization = AdamW(lr=1e-3, weight_decay=0.0, warmup=0.0, clip=None).attach([objective], total_steps=2)
    before = [p.detach().clone() for p in objective.encoder.parameters()]
    noise = torch.Generator().manual_seed(0)
    for step in range(2):
        (batch,) = data.train.batches(len(data.train))
        value = objective(*pairs(batch, noise), generator=noise)
        (-value).backward()
        optimization.step(step)
        objective.after_update((step + 1) / 2)
        assert value.isfinite()
    moved = [not torch.equal(p, old) for p, old in zip(objective.encoder.parameters(), before)]
    assert any(moved)
