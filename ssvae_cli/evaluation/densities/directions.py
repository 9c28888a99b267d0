"""Mixtures of von Mises-Fisher densities, whose means may depend on another direction."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ssvae_cli.distributions.spaces import Sphere
from ssvae_cli.distributions.von_mises_fisher import log_normaliser
from ssvae_cli.evaluation.densities.clusters import ITERATIONS, SETTLED, k_means


class Directions(nn.Module):
    """log p(y | c) of u = r z in R^D, z on the sphere and r independent of it, as `Sphere.unbounded` gives it.

    p(z | c) = sum_k softmax_k(V c + a) vMF(z; s (W c + b_k)), each with its mean times its concentration; c and y are
    projected to the sphere. A vMF step about c is W = I; several components are clusters, with W = 0. c: [B, dc].
    """

    def __init__(self, context: Tensor, y: Tensor, *, components: int, generator: torch.Generator):
        super().__init__()
        c, z = (Sphere.project(side).float() for side in (context, y))
        logits, gate, self.gate_scale = z.new_zeros(components), z.new_zeros(components, c.shape[1]), 1.0
        if components == 1:
            # Least squares, as lstsq, which on a GPU takes no c of which all lie in a plane.
            step = (torch.linalg.pinv(c.T @ c, hermitian=True) @ c.T @ z).T
            means = z.mean(0, keepdim=True) - (c @ step.T).mean(0)
            size = (c @ step.T + means).norm(dim=1).mean()
            kappa = concentration(size, z.shape[1])
        else:
            sides = [z, c] if c.shape[1] else [z]
            logits, (means, *of_context) = mixture(sides, components, generator)
            size = kappa = means.norm(dim=1).mean()
            for eta in of_context:  # as c is vMF in every cluster, which cluster it is in is linear in c
                length = eta.norm(dim=1)
                logits = logits + log_normaliser(length, c.shape[1]).to(z)
                self.gate_scale = length.mean().item()
                gate = eta / self.gate_scale
        self.step = nn.Parameter(step / size) if components == 1 else None
        self.shifts = nn.Parameter(means / size)
        self.gate = nn.Parameter(gate)
        self.logits = nn.Parameter(logits)
        self.log_concentration = nn.Parameter(kappa.log())

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
        log_weights = (self.gate_scale * c @ self.gate.T + self.logits).log_softmax(1)
        return (log_weights + log_vmf).logsumexp(1) - log_volume.squeeze(1)

    def forward(self, context: Tensor, y: Tensor) -> Tensor:
        """log p(u_i | c_i), [B]."""
        return self.log_density(self.prepared(context, y))


def mixture(sides: list[Tensor], components: int, generator: torch.Generator) -> tuple[Tensor, list[Tensor]]:
    """Clusters of directions, [N, D] of each side, von Mises-Fisher in each and its sides independent: the log weights,
    [K], and of each side the means times their concentrations, [K, D].

    By expectation-maximisation from k-means. Source: Banerjee et al. 2005."""
    dims = [side.shape[1] for side in sides]
    both, before = torch.cat(sides, 1), -math.inf
    shares = F.one_hot(k_means(both, components, generator), components).to(both)
    for _ in range(ITERATIONS):
        sizes = shares.sum(0) + 1e-3
        log_weights = (sizes / sizes.sum()).log()
        means = (shares.T @ both / sizes[:, None]).split(dims, 1)
        etas = [F.normalize(m) * concentration(m.norm(dim=1), m.shape[1])[:, None] for m in means]
        constants = sum(log_normaliser(eta.norm(dim=1), eta.shape[1]).to(both) for eta in etas)
        log_p = both @ torch.cat(etas, 1).T + constants + log_weights
        shares, now = log_p.softmax(1), log_p.logsumexp(1).mean().item()
        if now < before + SETTLED * both.shape[1]:
            break
        before = now
    return log_weights, etas


def concentration(length: Tensor, dim: int) -> Tensor:
    """kappa of a vMF density in R^dim whose mean has this length, approximately (Banerjee et al. 2005)."""
    length = length.clamp(1e-3, 0.999)
    return length * (dim - length**2) / (1 - length**2)
