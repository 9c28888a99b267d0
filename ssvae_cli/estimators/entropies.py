"""Entropies without a network to train."""

import math
from typing import ClassVar, Literal

import torch
from torch import Tensor

from ssvae_cli.distributed.collectives import all_gather, own_rows
from ssvae_cli.distributions.covariance import digamma
from ssvae_cli.distributions.products import spheres_of
from ssvae_cli.distributions.quadrature import legendre
from ssvae_cli.distributions.spaces import Euclidean, log_area
from ssvae_cli.errors import require_at_least, require_below_one
from ssvae_cli.estimators.base import EntropyEstimator

FAR, NEAR, MOST = 2.0, 1.75, 5.0  # nats below log B, and multiples of B: `conditionals` with candidates=auto


class LogDet(EntropyEstimator):
    """H(z) = 1/2 log det(2 pi e Sigma), Sigma the batch's covariance, less the known bias on normal data; on the sphere
    log area + 1/2 log det(D M), M = E z z^T, less the bias on uniform data; on several, of z with random radii.

    Relation to I: none. Relation to the ELBO: biased up (a normal has the largest entropy of its covariance; on the
    sphere by Jensen, an angular central Gaussian of second moments M has a cross-entropy with z of at most this), exact
    if z is normal, or uniform on the sphere. Ceiling: none; log area on the sphere. Low variance if B >> D.
    Source: Cover & Thomas, thm 8.6.5; Ahmed & Gokhale 1989 (bias); Tyler 1987 (the density on the sphere).
    """

    name = "logdet"
    spaces = frozenset({"euclidean", "sphere", "spheres"})

    def least_rows(self, space, dim):
        return dim + 1

    def forward(self, z, *, posterior, space, side, mixture=None):
        self.require_rows(len(z), space, z.shape[1])
        return Euclidean.largest_entropy(z) if space.name == "euclidean" else space.entropy_of_moments(z)


class Aggregate(EntropyEstimator):
    """H(z) = -E log 1/B sum_j Q(z_i|x_j), the anchor's own posterior included.

    For stochastic posteriors only: that of a deterministic encoder is a delta. Relation to I: none. Relation to the
    ELBO: biased down, as the own term makes the mean too large. Ceiling: H(z|x) + log B per entropy. Low variance.
    Source: Tomczak & Welling 2018; Chen et al. 2018 (minibatch estimates of the aggregate posterior).
    """

    name = "aggregate"
    needs_density = True  # of Q(z|x)

    def forward(self, z, *, posterior, space, side, mixture=None):
        return math.log(len(z)) - all_gather(posterior.log_prob_table(own_rows(z)).logsumexp(1)).mean()


class Conditionals(EntropyEstimator):
    """H(z) = -E log (w P(z_i|z'_i) + (1 - w) mean_j P(z_i|z'_j)), j != i: the cross-entropy of a mixture of the prior's
    own conditionals, at most the largest entropy that z can have: of a normal of its covariance, or of the uniform
    density on a sphere or in a box.

    With the mixture E log P(z'|z) + H(z') is K-way InfoNCE whose critic is P(z'|z), the positive among the K
    candidates: `prior.marginal=encoder estimator=conditionals` is a contrastive loss with the prior's parameters for
    temperature. candidates: the own conditional, of z' of the same pair, weighs w = 1/K, K a number, the batch B where
    that is larger or `candidates` null. The ceiling is log K, near which coordinates of little I are lost; a K above B
    raises it, but then H(z) is too high where few others are near, which an encoder exploits. `auto`: K is B while
    K-way InfoNCE of the batch stays FAR nats below log B, and rises to MOST B where it comes within NEAR nats.
    The other bound holds H(z) where no z' predicts z, as at the start; without it an encoder that moves z' away from
    what P expects makes H(z) as large as it likes. Relation to I: E log P(z'|z) + H(z') is at most log K, and in
    expectation at most I where K = B. Relation to the ELBO: biased up by KL(Q(z) || mixture) and, where few others are
    near, by the logarithm of their mean; down by the own term where I is near log K. Ceiling: that largest entropy. Low
    variance. Source: van den Oord et al. 2018 (the bound); Song & Ermon 2020 (the weight); Zimmermann et al. 2021.
    """

    name = "conditionals"
    needs_partner = True  # z' of the same pair
    suits: ClassVar = {"lr": 2.5, "prior_lr": 5.0}

    def __init__(self, *, candidates: int | Literal["auto"] | None = "auto"):
        super().__init__()
        if isinstance(candidates, int):
            require_at_least(2, candidates=candidates)
        self.candidates = candidates

    def forward(self, z, *, posterior, space, side, mixture=None):
        own, others = mixture()
        log_mixture = self._mixed(own, others, self._log_candidates(own, others))
        return torch.minimum(-log_mixture.mean(), space.largest_entropy(z))

    def _log_candidates(self, own: Tensor, others: Tensor) -> Tensor:
        """log K, []."""
        batch = own.new_full((), math.log(len(own)))
        if self.candidates == "auto":
            information = (own - self._mixed(own, others, batch)).mean().detach()
            near = (FAR - (batch - information)) / (FAR - NEAR)
            return batch + math.log(MOST) * near.clamp(0, 1)
        return batch.clamp_min(math.log(self.candidates or 1))

    @staticmethod
    def _mixed(own: Tensor, others: Tensor, log_k: Tensor) -> Tensor:
        """log of the mixture, [B], the own part weighing 1/K."""
        return torch.logaddexp(own - log_k, others + torch.log1p(-torch.exp(-log_k)))


class Frequencies(EntropyEstimator):
    """H(c) = - sum_c q_c log q_c, q = E z: the batch's mean of the probabilities Q(c|x), summed exactly; with a joint
    decoder of Q(c|x) Q(c'|x').

    Relation to I: with the table of P equal to Q's the ELBO of the batch is I(c; c'). Relation to the ELBO: biased down
    by about (K - 1) / 2B per entropy. Ceiling: log K. Low variance. Source: Miller 1955 (the bias).
    """

    name = "frequencies"
    spaces = frozenset({"simplex"})

    def forward(self, z, *, posterior, space, side, mixture=None):
        q = z.mean(0)
        return -(q * q.clamp_min(torch.finfo(q.dtype).tiny).log()).sum()  # an unused category has a gradient too


class KNN(EntropyEstimator):
    """H(z) = digamma(B) - digamma(k) + E log volume of the ball that reaches the k-th neighbour of z_i.

    In coordinates of covariance I; on the sphere the ball is a cap, on several a product of equal caps. tail: the share
    of the samples, those whose k-th neighbour is farthest, that E leaves out. Relation to I: none. Relation to the
    ELBO: an estimate, unbiased if the density is constant within the ball; biased up in many dimensions, where the k-th
    neighbour is far; down with a tail, by the mean of all log volumes less that of those kept. No ceiling; variance
    falls as k and tail grow. Source: Kozachenko & Leonenko 1987.
    """

    name = "knn"

    def __init__(self, *, k: int, tail: float = 0.0):
        super().__init__()
        require_at_least(1, k=k)
        require_below_one(tail=tail)
        self.k, self.tail = k, tail

    def least_rows(self, space, dim):
        return max(self.k, 0 if "sphere" in space.name else dim) + 1

    def forward(self, z, *, posterior, space, side, mixture=None):
        count, dim = z.shape
        self.require_rows(count, space, dim)
        if spheres := spheres_of(space, z):
            angle = 2 * torch.asin((self._kept(self._distances(*spheres)) / 2).clamp_max(1 - 1e-6))
            return self._uniform(count) + sum(_log_cap(angle, part.shape[1]) for part in spheres).mean()
        log_balls, log_jacobian = self._log_balls(z)
        return self._uniform(count) + self._kept(log_balls).mean() - log_jacobian.mean()

    def of_each(self, z: Tensor) -> Tensor:
        """-log q(z_i) of each sample in R^D, [B]: without a tail, H is their mean."""
        log_balls, log_jacobian = self._log_balls(z)
        return self._uniform(len(z)) + log_balls - log_jacobian

    def _uniform(self, count: int) -> float:
        return digamma(count) - digamma(self.k)

    def _log_balls(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """The log volumes of the balls in coordinates of covariance I, [B], and the log Jacobian of these."""
        u, log_jacobian = Euclidean.standardiser(z)(z)
        log_unit_ball = 0.5 * u.shape[1] * math.log(math.pi) - math.lgamma(0.5 * u.shape[1] + 1)
        return log_unit_ball + u.shape[1] * self._distances(u).log(), log_jacobian

    def _kept(self, of_samples: Tensor) -> Tensor:
        """Without the largest, [B - tail B]."""
        kept = len(of_samples) - math.floor(self.tail * len(of_samples))
        return of_samples if kept == len(of_samples) else of_samples.sort().values[:kept]

    def _distances(self, *parts: Tensor) -> Tensor:
        """From each sample to its k-th neighbour, [B]: the largest of the distances in each part of the coordinates;
        differentiable, and above 0 even for equal samples."""
        with torch.no_grad():
            table = torch.stack([torch.cdist(own_rows(u), u) for u in parts]).amax(0)
            itself = own_rows(torch.arange(len(parts[0]), device=table.device))
            nearest = table.scatter_(1, itself[:, None], math.inf).kthvalue(self.k, dim=1).indices
        apart = [own_rows(u) - u[nearest] for u in parts]
        return all_gather(torch.stack([(d.square().sum(1) + 1e-12).sqrt() for d in apart]).amax(0))


def _log_cap(angle: Tensor, dim: int) -> Tensor:
    """log area of the cap within `angle` of a point of the unit sphere in R^dim: area(dim - 1) int sin^(dim - 2)."""
    nodes, weights = legendre(angle, 64)
    angles = 0.5 * angle[:, None] * (1 + nodes)
    return log_area(dim - 1) + (weights.log() + (dim - 2) * angles.sin().log()).logsumexp(1) + (0.5 * angle).log()
