"""Optimizers with their schedule: linear warm-up, then a cosine to zero, counted in steps."""

import math
from collections.abc import Iterable

import torch
from torch import nn

from ssvae_cli.errors import require


class Optimization:
    """An optimizer, its schedule and gradient clipping, as one `step`.

    The update is torch's fused kernel, one for all parameters: what a compiler would make of it.
    """

    def __init__(self, *, lr: float, weight_decay: float, warmup: float, clip: float | None):
        require(lr > 0, f"lr must be above 0, got {lr}")
        require(weight_decay >= 0, f"weight_decay must be at least 0, got {weight_decay}")
        require(0 <= warmup < 1, f"warmup is a share of all steps, in [0, 1), got {warmup}")
        require(clip is None or clip > 0, f"clip must be above 0 or null, got {clip}")
        self.lr, self.weight_decay, self.warmup, self.clip = lr, weight_decay, warmup, clip

    def make(self, groups: list[dict]) -> torch.optim.Optimizer:
        """The torch optimizer over parameter groups."""
        raise NotImplementedError

    def attach(self, modules: Iterable[nn.Module], total_steps: int) -> "Optimization":
        """Take the parameters of `modules`; biases, norms and scalars are not decayed."""
        self.parameters = list(dict.fromkeys(p for m in modules for p in m.parameters() if p.requires_grad))
        decayed = [p for p in self.parameters if p.ndim > 1]
        kept = [p for p in self.parameters if p.ndim <= 1]
        groups = [{"params": decayed, "weight_decay": self.weight_decay}, {"params": kept, "weight_decay": 0.0}]
        self.optimizer = self.make([g for g in groups if g["params"]])
        self.total_steps = total_steps
        return self

    def rate(self, step: int) -> float:
        """The learning rate at `step`, counted from 0."""
        warm = self.warmup * self.total_steps
        if step < warm:
            return self.lr * (step + 1) / (warm + 1)
        done = (step - warm) / max(1.0, self.total_steps - warm)
        return self.lr * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))

    def step(self, step: int) -> torch.Tensor:
        """Clip, update, clear. Returns the gradient's norm before clipping, []."""
        limit = math.inf if self.clip is None else self.clip
        norm = nn.utils.clip_grad_norm_(self.parameters, limit)
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate(step)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return norm


class AdamW(Optimization):
    """Adam with decoupled weight decay (Loshchilov & Hutter 2019)."""

    def __init__(
        self,
        *,
        lr: float,
        weight_decay: float,
        warmup: float,
        clip: float | None,
        betas: tuple[float, float] = (0.9, 0.999),
    ):
        super().__init__(lr=lr, weight_decay=weight_decay, warmup=warmup, clip=clip)
        require(all(0 <= b < 1 for b in betas), f"betas must lie in [0, 1), got {list(betas)}")
        self.betas = tuple(betas)

    def make(self, groups):
        return torch.optim.AdamW(groups, lr=self.lr, betas=self.betas, fused=True)


class SGD(Optimization):
    """Stochastic gradient descent with Nesterov momentum."""

    def __init__(self, *, lr: float, weight_decay: float, warmup: float, clip: float | None, momentum: float = 0.9):
        super().__init__(lr=lr, weight_decay=weight_decay, warmup=warmup, clip=clip)
        require(0 <= momentum < 1, f"momentum must lie in [0, 1), got {momentum}")
        self.momentum = momentum

    def make(self, groups):
        return torch.optim.SGD(groups, lr=self.lr, momentum=self.momentum, nesterov=self.momentum > 0, fused=True)
