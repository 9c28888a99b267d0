"""Mixtures of normals, by expectation-maximisation."""

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ssvae_cli.datasets.base import evenly_spaced
from ssvae_cli.evaluation.densities.autoregressive import RIDGE
from ssvae_cli.evaluation.samples import Pairs

ITERATIONS = 20  # of expectation-maximisation, at most
SETTLED = 1e-4  # nats a coordinate: expectation-maximisation ends once a sample gains less
SMALLEST = 1e-4  # share of a sample in a cluster that counts; in many dimensions nearly all of a sample is in one
MOST = 4096  # samples by which clusters are found; all count in their moments
CHOOSING = 1024  # validation samples, at most, on which a shrinkage or a training step is chosen
RESTARTS = 4
FIRMNESS = (1, 5, 25, 125)  # how many samples a coordinate the common covariance counts for


class Clusters(nn.Module):
    """log p(y | c) = log p(c, y) - log p(c), p(c, y) = sum_k pi_k N([c, y]; m_k, S_k). c: [B, dc], y: [B, dy].

    weights: pi, [K]; means: [K, D]; lowers: Cholesky factors of the S_k, [K, D, D], D = dc + dy."""

    def __init__(self, context_dim: int, weights: Tensor, means: Tensor, lowers: Tensor):
        super().__init__()
        self.context_dim = context_dim
        self.register_buffer("log_weights", weights.log())
        self.register_buffer("means", means)
        self.register_buffer("lowers", lowers)

    @classmethod
    def fitted(cls, train: Pairs, validation: Pairs, *, components: int, generator: torch.Generator) -> "Clusters":
        """By expectation-maximisation, from k-means in coordinates of covariance I.

        Every S_k is shrunk towards their mean, by how much is chosen on validation. Source: Fraley & Raftery 2007.
        """
        both = torch.cat(train, 1).double()
        both = both[torch.randperm(len(both), generator=generator).to(both.device)]
        covariance = torch.cov(both.T).reshape(both.shape[1], -1)
        ridge = RIDGE * covariance.diagonal().clamp_min(torch.finfo(covariance.dtype).tiny).diag()
        mean, lower = both.mean(0), torch.linalg.cholesky(covariance + ridge)
        white = torch.linalg.solve_triangular(lower, (both - mean).T, upper=False).T
        if components == 1:
            moments = Moments.of(white, white.new_ones(len(white), 1))
        else:
            moments = Moments.of(white[:MOST], _shares(white[:MOST].float(), components, generator).double())
            if len(white) > MOST:
                moments = Moments.of(white, _log_joint(white.float(), moments).softmax(1).double())
        held_out = validation.rows(evenly_spaced(len(validation.y), CHOOSING, validation.y.device))

        def of(firmness: float) -> Clusters:
            weights, means, covariances = moments.shrunk(firmness)
            return cls(train.x.shape[1], weights, means @ lower.T + mean, lower @ torch.linalg.cholesky(covariances))

        return max(map(of, FIRMNESS), key=lambda density: density(*held_out).mean().nan_to_num(-math.inf).item())

    def forward(self, context: Tensor, y: Tensor) -> Tensor:
        """log p(y_i | c_i), [B]."""
        both, dim = torch.cat([context, y], 1).double(), self.context_dim
        log_p = (log_normals(both, self.means, self.lowers) + self.log_weights).logsumexp(1)
        if dim:
            of_context = log_normals(both[:, :dim], self.means[:, :dim], self.lowers[:, :dim, :dim])
            log_p = log_p - (of_context + self.log_weights).logsumexp(1)
        return log_p


def _shares(x: Tensor, components: int, generator: torch.Generator) -> Tensor:
    """Of samples, [N, D], in the clusters, [N, K], by expectation-maximisation."""
    shares, before = F.one_hot(k_means(x, components, generator), components).to(x), -math.inf
    for _ in range(ITERATIONS):
        log_p = _log_joint(x, Moments.of(x, shares))
        shares, now = log_p.softmax(1), log_p.logsumexp(1).mean().item()
        if now < before + SETTLED * x.shape[1]:
            break
        before = now
    return shares


def _log_joint(x: Tensor, moments: "Moments") -> Tensor:
    """log of the density of samples, [N, D], and of their being in each cluster, [N, K]."""
    weights, means, covariances = moments.shrunk(FIRMNESS[1])
    lowers = torch.linalg.cholesky(covariances)
    return log_normals(x, means.to(x), lowers.to(x)) + weights.log().to(x)


class Moments(NamedTuple):
    """Of samples in clusters: sizes, [K], means, [K, D], and sums of squares about the means, [K, D, D], in float64."""

    sizes: Tensor
    means: Tensor
    scatter: Tensor

    @classmethod
    def of(cls, x: Tensor, shares: Tensor) -> "Moments":
        """Of samples, [N, D], with shares in the clusters, [N, K]."""
        sizes = shares.sum(0) + 1e-6
        means = shares.T @ x / sizes[:, None]
        scatter = []
        for share, mean in zip(shares.T, means):
            rows = (share > SMALLEST).nonzero().squeeze(1)
            centred = x[rows] - mean
            scatter.append((share[rows, None] * centred).T @ centred)
        return cls(sizes.double(), means.double(), torch.stack(scatter).double())

    def shrunk(self, firmness: float) -> tuple[Tensor, Tensor, Tensor]:
        """(weights [K], means [K, D], covariances [K, D, D]), the covariances shrunk towards their mean."""
        count, dim = self.sizes.sum(), self.means.shape[1]
        common = self.scatter.sum(0) / count + 1e-6 * torch.eye(dim).to(self.means)
        prior = firmness * dim
        covariances = (self.scatter + prior * common) / (self.sizes + prior)[:, None, None]
        return self.sizes / count, self.means, covariances


def log_normals(x: Tensor, means: Tensor, lowers: Tensor) -> Tensor:
    """log N(x_i; m_k, L_k L_k^T), [N, K]; x: [N, D], means: [K, D], lowers: [K, D, D].

    By the inverses of the L_k: products of matrices are several times as fast as so many triangular systems."""
    inverses = torch.linalg.solve_triangular(lowers, torch.eye(x.shape[1]).to(x), upper=False)
    squares = [((x - mean) @ inverse.T).square().sum(1) for mean, inverse in zip(means, inverses)]
    log_volumes = lowers.diagonal(dim1=1, dim2=2).log().sum(1)
    return -0.5 * torch.stack(squares, 1) - log_volumes - 0.5 * x.shape[1] * math.log(2 * math.pi)


def k_means(x: Tensor, components: int, generator: torch.Generator) -> Tensor:
    """The cluster of each sample, int64 [N], in the best of some starts; x: [N, D].

    First centres are drawn far apart, the best of several at each draw (Arthur & Vassilvitskii 2007)."""
    results = []
    for _ in range(RESTARTS):
        centres = x[torch.randint(len(x), (1,), generator=generator)]
        nearest = torch.cdist(x, centres).square().squeeze(1)
        while len(centres) < components:
            drawn = torch.multinomial(nearest.cpu() + 1e-12, 4, generator=generator).to(x.device)
            with_each = torch.cdist(x, x[drawn]).square().minimum(nearest[:, None])  # [N, 4]
            best = with_each.sum(0).argmin()
            centres, nearest = torch.cat([centres, x[drawn[best]][None]]), with_each[:, best]
        for _ in range(10):
            members = F.one_hot(torch.cdist(x, centres).argmin(1), components).to(x)
            centres = members.T @ x / members.sum(0).clamp_min(1)[:, None]
        distance, cluster = torch.cdist(x, centres).min(1)
        results.append((distance.square().sum().item(), cluster))
    return min(results, key=lambda result: result[0])[1]
