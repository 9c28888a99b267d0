"""The Gaussian prior: z and z' jointly normal, correlated dimension by dimension or in full."""

import math
from typing import Literal

import torch
from torch import Tensor, nn

from ssvae_cli.device import floats
from ssvae_cli.errors import require
from ssvae_cli.priors.normal import NormalPrior

Covariance = Literal["correlation", "full"] | list[list[float]]


class Gaussian(NormalPrior):
    """P(z, z') jointly normal with mean 0 (design: section 4 of the paper leaves the explicit prior free).

    covariance: `correlation`, unit variances and a correlation for each pair (z_d, z'_d), fixed or learned; `full`,
    any covariance of the 2 D coordinates (z, z'), learned through its inverse's Cholesky factor; or a matrix, fixed or,
    if learned, the initial value of `full`. correlation: in (-1, 1); its initial value if learned.
    On normal data of correlation rho the ELBO is -1/2 log(1 - r^2) - (1 - r rho) / (1 - r^2) + 1 per dimension,
    which is I at r = rho.
    """

    law = ("correlation",)

    def __init__(self, *, latent_dim: int, correlation: float, learn: bool, covariance: Covariance, **common):
        super().__init__(**common)
        require(-1 < correlation < 1, f"correlation must lie between -1 and 1, both excluded, got {correlation}")
        require(learn or covariance != "full", "covariance=full needs learn=true, or give the matrix or correlation")
        self.covariance = "correlation" if covariance == "correlation" else "full"
        if self.covariance == "full":
            start = torch.kron(torch.tensor([[1.0, correlation], [correlation, 1.0]]), torch.eye(latent_dim))
            if covariance != "full":
                start = _checked(covariance, 2 * latent_dim)
            self.whiten = nn.Parameter(torch.linalg.cholesky(start.inverse()).T.contiguous(), requires_grad=learn)
        else:
            raw = torch.full((latent_dim,), math.atanh(correlation))
            self.raw = nn.Parameter(raw) if learn else None
            if not learn:
                self.register_buffer("fixed", raw)

    @property
    def correlation(self) -> Tensor:
        """Of z_d with z'_d in each dimension, [D], in (-1, 1)."""
        if self.covariance == "full":
            covariance = torch.cholesky_inverse(self.whiten.triu(), upper=True)
            deviations, half = covariance.diagonal().sqrt(), len(covariance) // 2
            return covariance[:half, half:].diagonal() / (deviations[:half] * deviations[half:])
        return torch.tanh(self.fixed if self.raw is None else self.raw)

    def whitening(self) -> tuple[Tensor, Tensor, Tensor]:
        if self.covariance == "full":
            f, g = self.whiten.triu().chunk(2, dim=1)
        else:  # z is white, and so is (z' - r z) / sqrt(1 - r^2)
            r, one = self.correlation, torch.eye(len(self.correlation)).to(self.correlation)
            root = (1 - r**2).rsqrt()
            f, g = torch.cat([one, torch.diag(-r * root)]), torch.cat([torch.zeros_like(one), torch.diag(root)])
        return f, g, f.new_zeros(len(f))


def _checked(covariance: list[list[float]], size: int) -> Tensor:
    """The matrix, [size, size]. Raises UserError unless it is a covariance."""
    widths = [len(row) for row in covariance]
    require(widths == [size] * size, f"covariance must be {size} rows of {size} numbers (z, z'), got rows of {widths}")
    matrix = torch.tensor(covariance, dtype=torch.float64)
    require(torch.equal(matrix, matrix.T), "covariance must be symmetric, and is not")
    least = torch.linalg.eigvalsh(matrix)[0].item()
    require(least > 0, f"covariance must be positive definite, but its least eigenvalue is {least:.3g}")
    return floats(matrix)
