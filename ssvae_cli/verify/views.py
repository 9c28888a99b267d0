"""A joint decoder, and more than two views: exact sums over letters, closed forms of chains and equal views."""

import itertools
import math

import torch
from torch import Tensor

from ssvae_cli.estimators import LogDet
from ssvae_cli.evaluation.estimate import Estimate
from ssvae_cli.priors import MI, Encoded, Gaussian, InfoNCE, LinearDynamics
from ssvae_cli.priors.scored import Marginals
from ssvae_cli.verify.alphabet import TABLES, LetterEntropy, LetterPrior, Letters, kl, worst
from ssvae_cli.verify.check import Check

LETTERS, VIEWS = 4, 3
BATCHES, SIZE, DIM = 32, 384, 2
RHO, R = 0.6, 0.3
STEPS = 4  # of the chain


def checks(generator: torch.Generator) -> list[Check]:
    """All of them; of the sums the worst of several random tables."""
    exact = worst([[*_of_pairs(generator), *_of_three(generator)] for _ in range(TABLES)])
    with torch.no_grad():
        return [*exact, *_of_normals(generator)]


def _elbo(log_p: Tensor, latents: tuple[Tensor, ...], joint: bool, marginal: str = "own") -> float:
    """The ELBO of a table P, every letter as often as it occurs."""
    encoded = Encoded(latents, (None,) * len(latents))
    return LetterPrior(log_p, marginal=marginal).elbo(LetterEntropy(), encoded, joint=joint).item()


def _letters(counts: Tensor) -> tuple[Tensor, ...]:
    """The latents of each view, [N, 1], every combination of letters as often as it occurs."""
    combinations = torch.cartesian_prod(*(torch.arange(float(n), dtype=torch.float64) for n in counts.shape))
    return combinations.repeat_interleave(counts.flatten(), 0).split(1, dim=1)


def _drawn(shape: tuple[int, ...], generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """(how often each combination occurs; Q; log P): random tables."""
    counts = torch.randint(1, 4, shape, generator=generator) ** 3
    log_p = 2 * torch.randn(shape, dtype=torch.float64, generator=generator)
    return counts, counts.double() / counts.sum(), log_p - log_p.flatten().logsumexp(0)


def _of_pairs(generator: torch.Generator):
    counts, q, log_p = _drawn((7, 5), generator)
    latents, of_z, of_z_prime = _letters(counts), q.sum(1, keepdim=True), q.sum(0)
    divergence, conditional = kl(q, log_p.exp()), (log_p - log_p.logsumexp(1, keepdim=True)).exp()
    joint = _elbo(log_p, latents, joint=True)
    yield Check("(9)", "joint decoder: E log P + H(z, z') is -KL", -divergence, joint)
    information = _elbo(log_p, latents, joint=False) - joint
    yield Check("(9) (17)", "its ELBO is I below that of one decoder a view", kl(q, of_z * of_z_prime), information)
    free = _elbo(log_p, latents, joint=True, marginal="encoder")
    claim = "joint decoder, P(z) = Q(z): -E KL(Q(z'|z) || P(z'|z))"
    yield Check("(9) (26)", claim, -kl(q, of_z * conditional), free)


def _of_three(generator: torch.Generator):
    counts, q, log_p = _drawn((LETTERS,) * VIEWS, generator)
    latents = _letters(counts)
    marginals = [q.sum([other for other in range(VIEWS) if other != view]) for view in range(VIEWS)]
    product = torch.einsum("a,b,c->abc", *marginals)
    total, divergence = kl(q, product), kl(q, log_p.exp())
    yield Check("(17)", "3 views: total correlation less KL", total - divergence, _elbo(log_p, latents, joint=False))
    yield Check("(9)", "3 views, joint decoder: -KL", -divergence, _elbo(log_p, latents, joint=True))
    given_first = log_p - log_p.flatten(1).logsumexp(1)[:, None, None]
    free = total - kl(q, marginals[0][:, None, None] * given_first.exp())
    claim = "3 views, P(z_1) = Q(z_1): total correlation less E KL of the others"
    yield Check("(26)", claim, free, _elbo(log_p, latents, joint=False, marginal="encoder"))

    # Stars of the InfoNCE prior: each is a distribution, and its ELBO the total correlation less its KL.
    f = (2 * torch.randn(LETTERS, LETTERS, dtype=torch.float64, generator=generator)).exp()
    views = Marginals(latents, torch.arange(len(latents[0])))
    every = torch.cartesian_prod(*(torch.arange(float(LETTERS), dtype=torch.float64) for _ in range(VIEWS)))

    def read(prior, log_f, of, direction):
        return prior(critic=Letters(log_f), direction=direction, views=VIEWS).read(of, views).log_ratio

    of_stars = []
    for anchor in range(VIEWS):
        star = product
        for other in range(VIEWS):
            if other != anchor:
                ordered, axes = (f, (anchor, other)) if anchor < other else (f.T, (anchor, other))
                ratio = ordered / (ordered * marginals[other]).sum(1, keepdim=True)  # f(z_a, z_b) / Z(z_a)
                shape = [LETTERS if view in axes else 1 for view in range(VIEWS)]
                star = star * (ratio if anchor < other else ratio.T).reshape(shape)
        of_stars.append(total - kl(q, star))
    ratios = read(InfoNCE, f.log(), every.split(1, dim=1), "both")
    for anchor, log_ratio in enumerate(ratios):
        mass = (product.flatten() * log_ratio.exp()).sum().item()
        yield Check("(28)", f"3 views: the star about view {anchor + 1} sums to 1", 1.0, mass)
    mean = lambda values: sum(values) / len(values)
    by_direction = {"forward": of_stars[0], "both": mean(of_stars)}
    for direction, expected in by_direction.items():
        value = read(InfoNCE, f.log(), latents, direction).mean().item()
        yield Check("(23) (30)", f"3 views, prior=infonce, direction={direction}: total correlation less KL", expected,
                    value)  # fmt: skip
    pairs = [q.sum([view for view in range(VIEWS) if view not in pair])
             for pair in itertools.combinations(range(VIEWS), 2)]  # fmt: skip
    exchangeable = mean([pair + pair.T for pair in pairs]) / 2
    best = (exchangeable / (exchangeable.sum(0) * exchangeable.sum(1))).log()
    value = read(MI, best, latents, "forward").mean().item()
    yield Check("(25)", "3 views, prior=mi: at most the total correlation", total, value, relation="<=")


def _of_normals(generator: torch.Generator):
    noise = torch.randn(STEPS, BATCHES, SIZE, DIM, dtype=torch.float64, generator=generator)
    chain = [noise[0]]
    for e in noise[1:]:
        chain.append(RHO * chain[-1] + math.sqrt(1 - RHO**2) * e)
    alike = [math.sqrt(RHO) * noise[0] + math.sqrt(1 - RHO) * e for e in noise[1 : VIEWS + 1]]

    def estimate(prior, latents, joint):
        batches = zip(*(z.unbind() for z in latents))
        encoded = [Encoded(tuple(sides), (None,) * len(sides)) for sides in batches]
        return Estimate.of_mean(torch.stack([prior.double().elbo(LogDet(), e, joint=joint) for e in encoded]))

    dynamics = LinearDynamics(latent_dim=DIM, stationary=True, persistence=RHO, views=STEPS)
    of_chain = -0.5 * DIM * (STEPS - 1) * math.log(1 - RHO**2)
    exchangeable = lambda r: DIM * -0.5 * ((VIEWS - 1) * math.log(1 - r) + math.log(1 + (VIEWS - 1) * r))
    # tr R_r^-1 R_rho / 2: R_r has the eigenvalue 1 + (n - 1) r once and 1 - r for the other n - 1
    trace = (1 + (VIEWS - 1) * RHO) / (1 + (VIEWS - 1) * R) + (VIEWS - 1) * (1 - RHO) / (1 - R)
    of_r = exchangeable(R) - 0.5 * DIM * (trace - VIEWS)
    gaussian = lambda r: Gaussian(latent_dim=DIM, correlation=r, learn=False, covariance="correlation", views=VIEWS)
    full = Gaussian(latent_dim=DIM, correlation=R, learn=True, covariance="full", views=VIEWS)
    rows = [
        ("(17)", f"linear_dynamics, {STEPS} steps: total correlation of the chain", of_chain, dynamics, chain, False),
        ("(9)", f"linear_dynamics, {STEPS} steps, joint decoder: 0 on its own law", 0.0, dynamics, chain, True),
        ("(17)", "gaussian, 3 exchangeable views: total correlation", exchangeable(RHO), gaussian(RHO), alike, False),
        ("(17)", "gaussian, 3 views, correlation r", of_r, gaussian(R), alike, False),
        ("(17)", "gaussian, 3 views, full covariance", of_r, full, alike, False),
        ("(9)", "gaussian, 3 views, correlation r, joint decoder: -KL", of_r - exchangeable(RHO), gaussian(R), alike,
         True),
    ]  # fmt: skip
    for *claim, prior, latents, joint in rows:
        yield Check(*claim, *estimate(prior, latents, joint), slack=5e-3 * DIM)
