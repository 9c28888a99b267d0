"""Two classical estimates, without a network: nearest neighbours, and the Gaussian copula."""

import math

import torch
from torch import Tensor

from ssvae_cli.evaluation.estimate import Estimate
from ssvae_cli.evaluation.samples import Pairs

MOST_NEIGHBOURS = 10_000  # pairs, as all pairwise distances are computed
EXACT = "donot_use_mm_for_euclid_dist"  # matrix products would give equal points a distance above 0


def ksg(pairs: Pairs, k: int = 3) -> Estimate:
    """psi(k) + psi(N) - E [ psi(n_x + 1) + psi(n_y + 1) ], n_x the number of pairs nearer in x than the k-th neighbour.

    Distances are Euclidean in x and in y, and the larger of both for pairs; at most 10,000 pairs are used. Relation to
    I: none; accurate in few dimensions, far below I in many. Standard error: of the mean over pairs, as if they were
    independent. Source: Kraskov, Stoegbauer & Grassberger 2004, their first estimator.
    """
    x, y = (side[:MOST_NEIGHBOURS].double() for side in pairs)
    x, y = ((side - side.mean(0)) / side.std(0).clamp_min(1e-12) for side in (x, y))
    count = len(x)
    k = min(k, count - 1)
    local = []
    for rows in torch.arange(count).split(256):
        near_x, near_y = (torch.cdist(side[rows], side, compute_mode=EXACT) for side in (x, y))
        reach = torch.maximum(near_x, near_y).kthvalue(k + 1, dim=1, keepdim=True).values  # the 0-th is the pair itself
        counts = [
            (near < reach).sum(1).double().clamp_min(1) for near in (near_x, near_y)
        ]  # n + 1, with the pair itself
        local.append(-torch.digamma(counts[0]) - torch.digamma(counts[1]))
    return Estimate.of_mean(torch.cat(local) + torch.digamma(x.new_tensor([k, count])).sum())


def share_a_coordinate(pairs: Pairs) -> bool:
    """Whether a linear map of x equals one of y, so I is infinite: the largest canonical correlation is 1."""
    if len(pairs.x) < sum(side.shape[1] for side in pairs) + 2:
        return False  # with so few pairs it is always 1
    parts = (torch.linalg.svd(side.double() - side.double().mean(0), full_matrices=False) for side in pairs)
    left, right = (part.U[:, part.S > 1e-6 * part.S[0]] for part in parts)
    return torch.linalg.svdvals(left.T @ right)[0].item() > 1 - 1e-6


def gaussian_copula(pairs: Pairs) -> Estimate:
    """-1/2 log |R| / (|R_x| |R_y|), R the correlation matrix of the normal scores, corrected for finite-sample bias.

    Relation to I: equal if x and y have a Gaussian copula; none otherwise, and dependence without correlation is
    missed. NaN where there are fewer pairs than coordinates. Standard error: of the mean over pairs of the log ratio of
    the fitted densities. Source: Ince et al. 2017.
    """
    x, y = (side.double() - side.double().mean(0) for side in pairs)
    count = len(x)
    if count < x.shape[1] + y.shape[1] + 2:
        return Estimate(math.nan, math.nan)  # the covariance is singular

    def log_density(z: Tensor) -> tuple[Tensor, float]:
        """(log N(z; 0, S) without its constant, [N]; the mean bias of log |S|, by the Wishart distribution)."""
        covariance = z.T @ z / (count - 1)
        lower = torch.linalg.cholesky(covariance + 1e-9 * torch.eye(z.shape[1], dtype=z.dtype))
        within = torch.linalg.solve_triangular(lower, z.T, upper=False).square().sum(0)
        freedom = (count - 1 - torch.arange(z.shape[1], dtype=z.dtype)).clamp_min(1)
        bias = (math.log(count - 1) - math.log(2) - torch.digamma(freedom / 2)).sum().item()
        return -0.5 * within - lower.diagonal().log().sum(), bias

    (both, bias), (left, bias_x), (right, bias_y) = map(log_density, (torch.cat([x, y], 1), x, y))
    return Estimate.of_mean(both - left - right - 0.5 * (bias - bias_x - bias_y))
