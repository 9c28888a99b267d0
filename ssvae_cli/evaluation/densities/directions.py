"""Mixtures of von Mises-Fisher densities, whose means may depend on another direction."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ssvae_cli.distributions.spaces import Sphere
from ssvae_cli.distributions.von_mises_fisher import log_normaliser
from ssvae_cli.evaluation.densities.clusters import k_means


class Directions(nn.Module):
    """log p(y | c) of u = r z in R^D, z on the sphere and r independent of it, as `Sphere.unbounded` gives it.

    p(z | c) = sum_k softmax_k(V c + a) vMF(z; s (W c + b_k)), each with its mean times its concentration; c and y are
    projected to the sphere. A vMF step about c is W = I; several components are clusters, with W = 0. c: [B, dc].
    """

    def __init__(self, context: Tensor, y: Tensor, *, components: int, generator: torch.Generator):
        super().__init__()
        c, z = (Sphere.project(side).float() for side in (context, y))
        clusters = F.one_hot(k_means(z, components, generator), components).to(z)
        shares = clusters.mean(0) + 1e-3
        means = clusters.T @ z / (shares * len(z))[:, None]
        step = torch.zeros(z.shape[1], c.shape[1]).to(z)
        if components == 1 and c.shape[1]:
            step = torch.linalg.lstsq(c, z).solution.T
            means = z.mean(0, keepdim=True) - (c @ step.T).mean(0)
        size = (c @ step.T + clusters @ means).norm(dim=1).mean()
        self.step = nn.Parameter(step / size) if components == 1 else None
        self.shifts = nn.Parameter(means / size)
        self.gate = nn.Parameter(torch.zeros(components, c.shape[1]).to(z))
        self.gate_scale = 1.0
        self.logits = nn.Parameter(shares.log())
        if components > 1 and c.shape[1]:  # as if c were vMF in every cluster
            centres = clusters.T @ c / (shares * len(z))[:, None]
            kappa = concentration(centres.norm(dim=1), c.shape[1])
            with torch.no_grad():
                self.gate_scale = kappa.mean().item()
                self.gate.copy_(F.normalize(centres) * kappa[:, None] / self.gate_scale)
                self.logits.add_(log_normaliser(kappa, c.shape[1]))
        self.log_concentration = nn.Parameter(concentration(size, z.shape[1]).log())

    def stages(self) -> list[list[nn.Parameter]]:
        """What is trained first and next."""
        return [list(self.parameters())]

    def prepared(self, context: Tensor, y: Tensor) -> Tensor:
        """Both directions and log of the volume at y, [B, dc + D + 1]: what `log_density` takes."""
        sides = [Sphere.project(side).to(self.logits) for side in (context, y)]
        return torch.cat([*sides, Sphere.log_volume(y)[:, None].to(self.logits)], 1)

    def log_density(self, prepared: Tensor) -> Tensor:
        """log p(u_i | c_i), [B]."""
        c, z, log_volume = prepared.split([self.gate.shape[1], self.shifts.shape[1], 1], 1)
        means = self.shifts if self.step is None else (c @ self.step.T)[:, None] + self.shifts  # [K, D] or [B, 1, D]
        eta = self.log_concentration.exp() * means
        log_vmf = log_normaliser(eta.norm(dim=-1).clamp_min(1e-3), z.shape[1]) + (eta * z[:, None]).sum(-1)
        return ((self.gate_scale * c @ self.gate.T + self.logits).log_softmax(1) + log_vmf).logsumexp(
            1
        ) - log_volume.squeeze(1)

    def forward(self, context: Tensor, y: Tensor) -> Tensor:
        """log p(u_i | c_i), [B]."""
        return self.log_density(self.prepared(context, y))


def concentration(length: Tensor, dim: int) -> Tensor:
    """kappa of a vMF density in R^dim whose mean has this length, approximately (Banerjee et al. 2005)."""
    length = length.clamp(1e-3, 0.999)
    return length * (dim - length**2) / (1 - length**2)
