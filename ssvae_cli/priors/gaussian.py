"""The Gaussian prior: the latents jointly normal, correlated dimension by dimension or in full."""

import math
from typing import Literal

import torch
from torch import Tensor, nn

from ssvae_cli.device import floats
from ssvae_cli.errors import require
from ssvae_cli.priors.normal import NormalPrior

MARGIN = 1e-6  # to both ends, where the covariance is singular: of float32
Covariance = Literal["correlation", "full"] | list[list[float]]


class Gaussian(NormalPrior):
    """P(z_1..z_n) jointly normal with mean 0 (design: section 4 of the paper leaves the explicit prior free).

    covariance: `correlation`, unit variances and in each dimension one correlation of any two views, the same for all,
    fixed or learned; `full`, any covariance of the n D coordinates, learned through its inverse's Cholesky factor; or a
    matrix, fixed or, if learned, the initial value of `full`. correlation: in (-1 / (n - 1), 1); its initial value if
    learned. On normal pairs of correlation rho the ELBO is -1/2 log(1 - r^2) - (1 - r rho) / (1 - r^2) + 1 per
    dimension, which is I at r = rho.
    """

    law = ("correlation",)
    fixed_by = {"learn": [False]}

    def __init__(
        self, *, latent_dim: int, correlation: float, learn: bool, covariance: Covariance, views: int = 2, **common
    ):
        super().__init__(**common)
        least = -1 / max(1, views - 1)  # where the covariance is singular
        self.views, self.middle = views, (1 + least) / 2
        limits = f"between {least:.3g} and 1, by {MARGIN:g} at least"
        fits = least + MARGIN <= correlation <= 1 - MARGIN
        require(fits, f"correlation must lie {limits}, got {correlation}")
        require(learn or covariance != "full", "covariance=full needs learn=true, or give the matrix or correlation")
        self.covariance = "correlation" if covariance == "correlation" else "full"
        if self.covariance == "full":
            of_views = torch.full((views, views), correlation).fill_diagonal_(1.0)
            start = torch.kron(of_views, torch.eye(latent_dim))
            if covariance != "full":
                start = _checked(covariance, views * latent_dim)
            self.whiten = nn.Parameter(torch.linalg.cholesky(start.inverse()).T.contiguous(), requires_grad=learn)
        else:
            raw = torch.full((latent_dim,), math.atanh((correlation - self.middle) / (1 - self.middle)))
            self.raw = nn.Parameter(raw) if learn else None
            if not learn:
                self.register_buffer("fixed", raw)

    @property
    def correlation(self) -> Tensor:
        """Of the first two views in each dimension, [D], in (-1, 1)."""
        if self.covariance == "full":
            covariance = torch.cholesky_inverse(self.whiten.triu(), upper=True)
            deviations, dim = covariance.diagonal().sqrt(), len(covariance) // self.views
            first, second = slice(dim), slice(dim, 2 * dim)
            return covariance[first, second].diagonal() / (deviations[first] * deviations[second])
        centred = torch.tanh(self.fixed if self.raw is None else self.raw).clamp(MARGIN - 1, 1 - MARGIN)
        return centred + self.middle * (1 - centred)

    def log_prob_of_dimensions(self, *latents: Tensor) -> Tensor | None:
        """Of `covariance=correlation`, where each block of W is diagonal."""
        if self.covariance == "full":
            return None
        blocks = torch.stack([torch.stack([b.diagonal() for b in w.chunk(self.views)]) for w in self.whitening()[0]])
        white = torch.einsum("kbd,kvd->bvd", torch.stack(latents), blocks)  # of latent k, in rows v of W
        volume = blocks.diagonal().abs().log().sum(-1)
        return self.space.log_prob(white.mT) + volume

    def whitening(self):
        if self.covariance == "full":
            whitening = self.whiten.triu().chunk(self.views, dim=1)
        else:
            rows = [self._white(view) for view in range(self.views)]
            whitening = tuple(torch.cat(blocks) for blocks in zip(*rows))
        return whitening, whitening[0].new_zeros(len(whitening[0]))

    def _white(self, view: int) -> list[Tensor]:
        """The blocks of the rows that make a latent white given those before it, by its mean and variance there."""
        r, zero = self.correlation, torch.zeros(2 * (len(self.correlation),)).to(self.correlation)
        if view == 0:
            return [torch.eye(len(r)).to(r), *[zero] * (self.views - 1)]
        shared = 1 + (view - 1) * r
        root = (1 - view * r**2 / shared).rsqrt()
        before = torch.diag(-r / shared * root)
        return [*[before] * view, torch.diag(root), *[zero] * (self.views - 1 - view)]


def _checked(covariance: list[list[float]], size: int) -> Tensor:
    """The matrix, [size, size]. Raises UserError unless it is a covariance."""
    widths = [len(row) for row in covariance]
    wanted = f"covariance must be {size} rows of {size} numbers (all coordinates of all views)"
    require(widths == [size] * size, f"{wanted}, got rows of {widths}")
    matrix = torch.tensor(covariance, dtype=torch.float64)
    require(torch.equal(matrix, matrix.T), "covariance must be symmetric, and is not")
    least = torch.linalg.eigvalsh(matrix)[0].item()
    require(least > 0, f"covariance must be positive definite, but its least eigenvalue is {least:.3g}")
    return floats(matrix)
