"""Optimizers with their schedule: linear warm-up, then a cosine to zero, counted in steps."""

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn

from ssvae_cli.compiler import unmarked
from ssvae_cli.errors import require, require_above, require_at_least


@dataclass(kw_only=True)
class Optimization(ABC):
    """An optimizer, its schedule and gradient clipping, as one `step`.

    The update is torch's fused kernel, one for all parameters: what a compiler would make of it."""

    lr: float
    weight_decay: float
    warmup: float
    clip: float | None
    prior_lr: float | Literal["auto"] = "auto"  # of the prior's own parameters, a multiple of lr

    def __post_init__(self):
        require_above(0, lr=self.lr)
        if self.prior_lr != "auto":
            require_at_least(0, prior_lr=self.prior_lr)
        require_at_least(0, weight_decay=self.weight_decay)
        require(0 <= self.warmup < 1, f"warmup must be a fraction of all steps, in [0, 1), got {self.warmup}")
        require(self.clip is None or self.clip > 0, f"clip must be above 0 or null, got {self.clip}")

    @abstractmethod
    def optimizer_of(self, groups: list[dict]) -> torch.optim.Optimizer:
        """The torch optimizer over parameter groups."""

    def attach(
        self,
        modules: Iterable[nn.Module],
        total_steps: int,
        *,
        of_prior: Iterable[nn.Parameter] = (),
        suits: float = 1.0,
    ) -> "Optimization":
        """Take the parameters of `modules`; biases, norms and scalars are not decayed, nor are those `of_prior`, which
        learn at prior_lr times the rate, or `suits` times where that is auto. Raises UserError for none."""
        self.parameters = list(dict.fromkeys(p for m in modules for p in m.parameters() if p.requires_grad))
        require(len(self.parameters) > 0, "nothing to train: neither encoder, prior nor estimator has parameters")
        apart, times = set(of_prior), suits if self.prior_lr == "auto" else self.prior_lr
        shared = [p for p in self.parameters if p not in apart]
        groups = [
            {"params": [p for p in shared if p.ndim > 1], "weight_decay": self.weight_decay, "times": 1.0},
            {"params": [p for p in shared if p.ndim <= 1], "weight_decay": 0.0, "times": 1.0},
            {"params": [p for p in self.parameters if p in apart], "weight_decay": 0.0, "times": times},
        ]
        self.optimizer = self.optimizer_of([g for g in groups if g["params"]])
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
        norm = nn.utils.clip_grad_norm_(self.parameters, math.inf if self.clip is None else self.clip)
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate(step) * group["times"]
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return norm


@dataclass(kw_only=True)
class AdamW(Optimization):
    """Adam with decoupled weight decay (Loshchilov & Hutter 2019)."""

    betas: tuple[float, float] = (0.9, 0.999)

    def __post_init__(self):
        super().__post_init__()
        require(all(0 <= b < 1 for b in self.betas), f"betas must lie in [0, 1), got {list(self.betas)}")

    def optimizer_of(self, groups):
        return unmarked(torch.optim.AdamW)(groups, lr=self.lr, betas=tuple(self.betas), fused=True)


@dataclass(kw_only=True)
class SGD(Optimization):
    """Stochastic gradient descent with Nesterov momentum."""

    momentum: float = 0.9

    def __post_init__(self):
        super().__post_init__()
        require(0 <= self.momentum < 1, f"momentum must lie in [0, 1), got {self.momentum}")

    def optimizer_of(self, groups):
        return unmarked(torch.optim.SGD)(
            groups, lr=self.lr, momentum=self.momentum, nesterov=self.momentum > 0, fused=True
        )
