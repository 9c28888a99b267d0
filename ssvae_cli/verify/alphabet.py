"""Exact sums on a finite alphabet: random Q(z, z'), f and P on a table of letters.

Each expected value is a sum written out here. Each estimate comes from the shipped prior and estimator classes, given
the table with its weights (EnumeratedScores), or every pair of letters as often as it occurs. A swapped axis, a lost
sign or a dropped normaliser causes an error far above rounding.
"""

import itertools
import math

import torch
from torch import Tensor

from ssvae_cli.critics import Critic
from ssvae_cli.distributions.spaces import Euclidean
from ssvae_cli.estimators import DV, JS, MINE, NWJ, SMILE, TUBA, EntropyEstimator, Eq3, Interpolated, LeaveOneOut
from ssvae_cli.estimators import InfoNCE as KWay
from ssvae_cli.estimators.entropies import Conditionals, Frequencies
from ssvae_cli.priors import Categorical, Encoded, ExplicitPrior
from ssvae_cli.priors.energy import Energy
from ssvae_cli.priors.infonce import InfoNCE
from ssvae_cli.priors.mi import MI
from ssvae_cli.priors.scored import Marginals
from ssvae_cli.scores import DenseScores
from ssvae_cli.verify.check import Check
from ssvae_cli.verify.enumerated import EnumeratedScores

SHAPE = (7, 7)
TABLES = 5  # random tables per claim; the one with the largest error is shown


class Letters(Critic):
    """log f of letters, the single coordinate of z and z'."""

    def __init__(self, log_f: Tensor):
        super().__init__()
        self.log_f = log_f

    def table(self, z, z_prime):
        return self.log_f[z[:, 0].long()][:, z_prime[:, 0].long()]

    def pairs(self, z, z_prime):
        return self.log_f[z[:, 0].long(), z_prime[:, 0].long()]


class LetterSpace(Euclidean):
    """Letters have no covariance that bounds their entropy."""

    @staticmethod
    def largest_entropy(z: Tensor) -> Tensor:
        return z.new_tensor(math.inf)


class LetterPrior(ExplicitPrior):
    """A random P over letters, over pairs of them, or over more."""

    space = LetterSpace

    def __init__(self, log_p: Tensor, **common):
        super().__init__(**common)
        self.log_p, self.views = log_p, log_p.ndim

    def log_prob(self, *latents):
        return self.log_p[tuple(z[..., 0].long() for z in latents)]

    def log_marginal(self, z, side=0):
        others = [view for view in range(self.views) if view != side]
        return self.log_p.logsumexp(others)[z[..., 0].long()] if others else self.log_prob(z)


class LetterEntropy(EntropyEstimator):
    """H of the frequencies of the letters, or of their combinations."""

    def forward(self, z, *, posterior, space, side, mixture=None):
        _, counts = z.unique(dim=0, return_counts=True)
        return torch.special.entr(counts / z.new_tensor(float(len(z)))).sum()


def checks(generator: torch.Generator) -> list[Check]:
    """Every claim over TABLES random tables, the worst result of each."""
    return worst([list(_of_table(generator)) for _ in range(TABLES)])


def worst(tables: list[list[Check]]) -> list[Check]:
    """The worst result of each claim over random tables."""
    return [max(results, key=lambda c: (not c.holds, c.excess)) for results in zip(*tables)]


def kl(q: Tensor, p: Tensor) -> float:
    """KL(q || p) of two tables of probabilities."""
    return (q * (q.log() - p.log())).sum().item()


def _of_table(generator: torch.Generator):
    counts = torch.randint(1, 4, SHAPE, generator=generator) ** 3
    log_f, log_p = (2 * torch.randn(2, *SHAPE, dtype=torch.float64, generator=generator)).unbind()
    joint = counts.double() / counts.sum()
    q, q_prime = joint.sum(1, keepdim=True), joint.sum(0)
    f, i = log_f.exp(), kl(joint, q * q_prime)
    letters = torch.cartesian_prod(*(torch.arange(float(n), dtype=torch.float64) for n in SHAPE))
    z, z_prime = letters.repeat_interleave(counts.flatten(), 0).split(1, dim=1)
    enumerated = lambda estimator, scores=log_f: estimator(EnumeratedScores(scores, joint)).item()

    def fresh(kind, scores=log_f, **options):
        """The ELBO as in `elbo/test`: fresh candidates, here every letter as often as it occurs."""
        prior = kind(critic=Letters(scores), **options)
        return prior.read((z, z_prime), Marginals((z, z_prime), torch.arange(len(z)))).log_ratio.mean().item()

    # (28), (29): the InfoNCE prior is a distribution with the marginal Q(z).
    ratio = InfoNCE(critic=Letters(log_f), direction="forward").log_ratio(EnumeratedScores(log_f, joint))
    prior = ratio.exp().reshape(SHAPE) * q * q_prime
    yield Check("(28)", "the InfoNCE prior sums to 1", 1.0, prior.sum().item())
    difference = (prior.sum(1) - q[:, 0]).abs().max().item()
    yield Check("(29)", "its marginal P(z) is Q(z): largest difference", 0.0, difference)

    # (23), (30): I - KL(Q || P) is the InfoNCE limit, in each direction.
    forward = q * q_prime * f / (q_prime * f).sum(1, keepdim=True)
    backward = q * q_prime * f / (q * f).sum(0)
    of_forward, of_backward = i - kl(joint, forward), i - kl(joint, backward)
    yield Check("(23) (30)", "I - KL is the InfoNCE limit, leave-one-out", of_forward, enumerated(LeaveOneOut()))
    yield Check("(23) (30)", "I - KL is the InfoNCE limit, K-way", of_forward, enumerated(KWay()))
    elbos = {"forward": of_forward, "backward": of_backward, "both": (of_forward + of_backward) / 2}
    for direction, elbo in elbos.items():
        yield Check("(30)", f"prior=infonce, direction={direction}", elbo, fresh(InfoNCE, direction=direction))

    # One normaliser Z for all z.
    of_energy = i - kl(joint, q * q_prime * f / (q * q_prime * f).sum())
    yield Check("(23)", "prior=energy: I - KL is Donsker-Varadhan's form", of_energy, enumerated(DV()))
    yield Check("(23)", "prior=energy, fresh candidates", of_energy, fresh(Energy, direction="forward"))
    yield Check("(23)", "mine reads dv", of_energy, enumerated(MINE(decay=0.9).eval()))
    tuba = TUBA().double()
    tuba.log_baseline.data.fill_((q * q_prime * f).sum().log().item())
    yield Check("(23)", "tuba at its best baseline reads dv", of_energy, enumerated(tuba))

    # (25): P = Q, and every bound is I at its optimal critic; (5) also with a factor c(z), here from log_p.
    best = joint.log() - (q * q_prime).log()
    yield Check("(5)", "I, where f is c(z) Q(z'|z) / Q(z')", i, enumerated(LeaveOneOut(), best + log_p[:, :1]))
    bounds = {"infonce": (KWay(), 0), "dv": (DV(), 0), "nwj": (NWJ(), 1), "tuba": (TUBA().double(), 1), "js": (JS(), 0),
              "interpolated": (Interpolated(alpha=0.5), 1)}  # fmt: skip
    for name, (estimator, shift) in bounds.items():
        yield Check("(25)", f"prior=mi: {name} at its best critic reads I", i, enumerated(estimator, best + shift))
    for name, (estimator, _) in bounds.items():
        yield Check("(25)", f"{name} of any f is at most I", i, enumerated(estimator), relation="<=")
    yield Check("(25)", "prior=mi: its ELBO at the best critic is I", i, fresh(MI, best, direction="forward"))

    # The order of the bounds for one f.
    limit, dv, nwj = (enumerated(e) for e in (LeaveOneOut(), DV(), NWJ()))
    yield Check("(30)", "(30) is at least dv", dv, limit, relation=">=")
    yield Check("", "dv is at least nwj", nwj, dv, relation=">=")
    clipped = (joint * log_f).sum() - (q * q_prime * f.clamp(math.exp(-1), math.e)).sum().log()
    yield Check("", "smile is dv, f clipped in the partition alone", clipped.item(), enumerated(SMILE(clip=1.0)))

    # (17), (9): an explicit prior; every pair as often as it occurs.
    log_p = log_p - log_p.flatten().logsumexp(0)
    explicit = LetterPrior(log_p).elbo(LetterEntropy(), Encoded((z, z_prime), (None, None))).item()
    yield Check("(17) (23)", "E log P + H(z) + H(z') is I - KL", i - kl(joint, log_p.exp()), explicit)
    log_p1 = log_p.logsumexp(1)
    conditional = (log_p - log_p1[:, None]).exp()
    of_z_prime = kl(joint, q * conditional)
    split = LetterPrior(log_p)
    of_marginal = -torch.special.entr(q).sum() - split.log_marginal(z).mean()
    of_conditional = (joint * (joint / q).log()).sum() - split.log_conditional(z, z_prime).mean()
    yield Check("(23)", "KL(Q(z) || P(z))", kl(q[:, 0], log_p1.exp()), of_marginal.item())
    yield Check("(23)", "and E KL(Q(z'|z) || P(z'|z)) add to the KL", kl(joint, log_p.exp()) - of_marginal.item(),
                of_conditional.item())  # fmt: skip
    free = LetterPrior(log_p, marginal="encoder").elbo(LetterEntropy(), Encoded((z, z_prime), (None, None))).item()
    yield Check("(26)", "P(z) = Q(z), P(z'|z) explicit: I - E KL(Q(z'|z) || P(z'|z))", i - of_z_prime, free)
    mixture = (q * conditional).sum(0)  # of the conditionals, over Q(z)
    of_contrast = (joint * conditional.log()).sum() - (q_prime * mixture.log()).sum()
    contrast = LetterPrior(log_p, marginal="encoder").elbo(Conditionals(), Encoded((z, z_prime), (None, None))).item()
    claim = "the same with estimator=conditionals: InfoNCE, P(z'|z) for critic"
    yield Check("(26)", claim, of_contrast.item(), contrast)
    yield Check("(26)", "and so at most I", i, contrast, relation="<=")
    alone = LetterPrior(log_p1).elbo(LetterEntropy(), Encoded((z,), (None,))).item()
    yield Check("(9)", "unstructured: the ELBO is -KL(Q(z) || P(z))", -kl(q[:, 0], log_p1.exp()), alone)

    # (17), (23): categories c of letters x by a random Q(c|x); every expectation over them is exact.
    of_x = torch.randn(max(SHAPE), 4, dtype=torch.float64, generator=generator).softmax(1)
    q_of_c = of_x.T @ joint @ of_x
    soft_pairs = Encoded((of_x[z[:, 0].long()], of_x[z_prime[:, 0].long()]), (None, None))
    i_of_c = kl(q_of_c, q_of_c.sum(1, keepdim=True) * q_of_c.sum(0))
    for uniform in (True, False):
        table = Categorical(latent_dim=4, agreement=0.6, uniform=uniform, learn=False).double()
        table.logits.data += torch.randn(4, 4, dtype=torch.float64, generator=generator)
        claim = f"categories, {'uniform P(c)' if uniform else 'any table'}: E log P + H(c) + H(c') is I - KL"
        expected = i_of_c - kl(q_of_c, table.log_table.exp())
        yield Check("(17) (23)", claim, expected, table.elbo(Frequencies(), soft_pairs).item())
    table.logits.data = q_of_c.log()
    yield Check("(25)", "categories, P = Q: the ELBO is I", i_of_c, table.elbo(Frequencies(), soft_pairs).item())

    # (14), (19): here the table's letters are x and x'; z = g(x), or z is drawn from Q(z|x).
    delta = torch.eye(4, dtype=torch.float64)[torch.arange(SHAPE[0]) % 4]
    soft = torch.randn(SHAPE[0], 4, dtype=torch.float64, generator=generator).softmax(1)
    for kind, encoder, relation in (("deterministic", delta, "="), ("stochastic", soft, ">=")):
        latent, scores = encoder.T @ joint @ encoder, log_f[:4, :4]
        weight = scores.exp() / (latent.sum(0) * scores.exp()).sum(1, keepdim=True)  # P(z, z') / Q(z) Q(z')
        evidence = encoder @ weight @ encoder.T  # P(x, x') / P_true(x) P_true(x')
        elbo = LeaveOneOut()(EnumeratedScores(scores, latent)).item()
        yield Check("(14)", f"{kind} encoder: P(x, x') sums to 1", 1.0, (q * q_prime * evidence).sum().item())
        claim = f"{kind} encoder: the evidence E log P(x, x') {'is' if relation == '=' else 'is at least'} the ELBO"
        yield Check("(14) (19)", claim, elbo, (joint * evidence.log()).sum().item(), relation=relation)

    # (3): every draw of a positive and two negatives, with its weight.
    expected, estimate = 0.0, 0.0
    small = joint[:3, :3] / joint[:3, :3].sum()
    for a, b, c, d in itertools.product(range(3), repeat=4):
        weight = small[a, b] * small.sum(0)[c] * small.sum(0)[d]
        row = log_f[a, [b, c, d]]
        expected += weight * (row[0] - row.exp().sum().log() + math.log(2))
        estimate += weight * Eq3()(DenseScores(row[None]))
    yield Check("(3)", "the positive and two negatives in the sum, + log 2", expected.item(), estimate.item())
