"""z' is z and a step, each coordinate apart: the laws of prior=laplace and prior=student, and of normal steps.

von Kuegelgen et al. 2021, "Self-Supervised Learning with Data Augmentations Provably Isolates Content from Style":
some coordinates are shared by z and z'; the others change and may depend on the shared ones.
"""

import math
from typing import Literal

import torch

from ssvae_cli.datasets.base import Factor
from ssvae_cli.datasets.laws import univariate
from ssvae_cli.datasets.laws.base import Drawn, Law, PerDimension, like, positive
from ssvae_cli.datasets.laws.information import entropy_of_sum, information_in_box
from ssvae_cli.device import floats
from ssvae_cli.distributions.spaces import SPACES
from ssvae_cli.errors import require, require_below_one

Source = Literal["normal", "laplace", "student", "uniform", "box", "sphere"]


class Steps(Law):
    """z'_d = z_d + scale_d * a step of a univariate law, which subclasses name. truth: scale, and df of Student's t.

    source: of z. normal, laplace, student or uniform on [-1, 1]: independent coordinates in R^D; box: uniform on
    [0, 1]^D, the steps truncated at the walls (exactly, by the inverse of the distribution function); sphere: uniform
    on the unit sphere, z' projected onto it. df: of every Student's t in the law. content: so many first coordinates of
    z' are those of z. dependence, for normal z: the others, the style, are dependence * B c + sqrt(1 - dependence^2) e,
    c the content, e standard normal, B with rows of length 1. change: the probability that a coordinate that is not
    shared takes its step; else it stays. I(z; z') is known without content and with change = 1, off the sphere.
    """

    stationary = False
    step: univariate.Name

    def __init__(
        self,
        *,
        dim: int,
        source: Source,
        scale: PerDimension,
        df: float = 3.0,
        content: int,
        dependence: float,
        change: float = 1.0,
        seed: int,
    ):
        super().__init__(dim=dim)
        require(dim >= 2 or source != "sphere", f"dim must be at least 2 for source=sphere, got {dim}")
        require(0 <= content < dim, f"content must lie between 0 and {dim - 1}, one less than dim; got {content}")
        require(0 < change <= 1, f"change must lie in (0, 1], got {change}")
        fault = "content and change below 1 need separate coordinates: any source but sphere"
        require(source != "sphere" or (content == 0 and change == 1), fault)
        require_below_one(dependence=dependence)
        fits = dependence == 0 or (content > 0 and source == "normal")
        require(fits, f"dependence={dependence} needs source=normal and content of at least 1")
        scales = positive("scale", scale, dim)
        moving = [0.0] * content + scales.tolist()[content:]
        self.truth = {"scale": moving} | ({"df": df} if self.step == "student" else {})
        self.source, self.content, self.dependence, self.change = source, content, dependence, change
        self.register_buffer("scale", scales)
        self.move = univariate.univariate(self.step, df)
        self.marginal = None if source in ("box", "sphere") else univariate.univariate(source, df)
        mixing = torch.randn(dim - content, content, generator=torch.Generator().manual_seed(seed + 1))
        self.mixing = mixing / mixing.norm(dim=1, keepdim=True).clamp_min(1e-12)

    def sample(self, count, generator):
        z = torch.empty(count, self.dim)
        if self.marginal is None:
            return Drawn(SPACES[self.source].sample(z, generator))
        z = floats(self.marginal.quantile(like(torch.rand, z, generator, torch.float64)))
        if self.dependence:
            content, e = z[:, : self.content], z[:, self.content :]
            style = self.dependence * content @ self.mixing.T + math.sqrt(1 - self.dependence**2) * e
            z = torch.cat([content, style], 1)
        return Drawn(z)

    def partner(self, z, shared, generator):
        u = like(torch.rand, z, generator, torch.float64)
        if self.source == "box":
            low, high = self.move.cdf(-z / self.scale), self.move.cdf((1 - z) / self.scale)
            u = low + u * (high - low)
        moved = z + (self.scale * self.move.quantile(u)).to(z)
        if self.source == "box":
            moved = moved.clamp(0, 1)  # against numerical error
        if self.source == "sphere":
            moved = SPACES["sphere"].project(moved)
        if self.change < 1:
            moved = torch.where(like(torch.rand, z, generator) < self.change, moved, z)
        return torch.cat([z[:, : self.content], moved[:, self.content :]], 1)

    def information(self):
        if self.content or self.change < 1 or self.source == "sphere":
            return None
        scales, counts = self.scale.unique(return_counts=True)
        return sum(int(n) * self._of_dimension(scale) for scale, n in zip(scales.tolist(), counts)), 0.0

    def _of_dimension(self, scale: float) -> float:
        """I of one dimension with this scale."""
        if self.source == "box":
            return information_in_box(self.move, scale)
        of_noise = self.move.entropy + math.log(scale)
        return max(0.0, entropy_of_sum(self.marginal, 1.0, self.move, scale) - of_noise)  # of rounding, where it is 0

    def factors(self):
        style = "style" if self.content else None
        named = [Factor(f"content{i}", group="content") for i in range(self.content)]
        return (*named, *(Factor(f"z{i}", group=style) for i in range(self.content, self.dim)))


class Normal(Steps):
    step = "normal"


class Laplace(Steps):
    step = "laplace"


class Student(Steps):
    step = "student"
