"""Optimizers with their schedule: linear warm-up, then a cosine to zero, counted in steps."""

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import ClassVar, Literal

import torch
from torch import nn

from ssvae_cli.compiler import unmarked
from ssvae_cli.errors import require, require_above, require_at_least, require_below_one


@dataclass(kw_only=True)
class Optimization(ABC):
    """An optimizer, its schedule and gradient clipping, as one `step`.

    The update is torch's fused kernel, one for all parameters: what a compiler would make of it. groups: multiples of
    lr by the names of parameters, as encoder.backbone.*, the first that fits; accumulate: steps whose gradients are
    averaged before each update, so that it climbs the mean of the ELBOs of so many batches; of those that are left at
    the last step, however few. lr and prior_lr: auto is what suits the estimator, by `attach`."""

    usual_lr: ClassVar[float | None] = None  # what lr=auto is a multiple of; None: lr must be a number
    lr: float | Literal["auto"]
    weight_decay: float
    warmup: float
    clip: float | None
    prior_lr: float | Literal["auto"] = "auto"  # of the prior's own parameters, a multiple of lr
    groups: dict[str, float] | None = None
    accumulate: int = 1

    def __post_init__(self):
        if self.lr != "auto":
            require_above(0, lr=self.lr)
        require(self.lr != "auto" or self.usual_lr is not None, "lr must be a number above 0, got auto")
        if self.prior_lr != "auto":
            require_at_least(0, prior_lr=self.prior_lr)
        require_at_least(0, weight_decay=self.weight_decay)
        require(0 <= self.warmup < 1, f"warmup must be a fraction of all steps, in [0, 1), got {self.warmup}")
        require(self.clip is None or self.clip > 0, f"clip must be above 0 or null, got {self.clip}")
        require_at_least(1, accumulate=self.accumulate)
        self.groups = self.groups or {}
        for pattern, times in self.groups.items():
            require(times >= 0, f"groups must give a multiple of lr, at least 0, for {pattern}, got {times}")
        self.updated = False  # whether the last step ended in an update
        self.waiting = 0  # steps whose gradients wait for one

    @abstractmethod
    def optimizer_of(self, groups: list[dict]) -> torch.optim.Optimizer:
        """The torch optimizer over parameter groups."""

    def attach(
        self,
        modules: Iterable[nn.Module],
        total_steps: int,
        *,
        of_prior: Iterable[nn.Parameter] = (),
        suits: Mapping[str, float] = {},
        of_names: Mapping[str, float] = {},
    ) -> "Optimization":
        """Take the parameters of `modules`; biases, norms and scalars are not decayed, nor are those `of_prior`, which
        learn at prior_lr times the rate. suits: where auto, lr is the usual one times suits[lr], prior_lr is
        suits[prior_lr], 1 each where not named. of_names: as `groups`, which go before them. Raises UserError for no
        parameter, and for a name in `groups` that none has."""
        named = {p: name for m in modules for name, p in m.named_parameters() if p.requires_grad}
        require(len(named) > 0, "nothing to train: neither encoder, prior nor estimator has parameters")
        for pattern in self.groups:
            starts = sorted({".".join(name.split(".")[:2]) for name in named.values()})
            fits = any(fnmatchcase(name, pattern) for name in named.values())
            require(
                fits, f"optimizer.groups: no parameter is called {pattern}; their names begin with {', '.join(starts)}"
            )
        self.lr = self.usual_lr * suits.get("lr", 1.0) if self.lr == "auto" else self.lr
        prior, times_of_prior = set(of_prior), suits.get("prior_lr", 1.0) if self.prior_lr == "auto" else self.prior_lr
        groups: dict[tuple, dict] = {}
        multiples = [*self.groups.items(), *of_names.items()]
        self.reads_prior_lr = False  # whether a parameter learns at it
        for p, name in named.items():
            own = next((own for pattern, own in multiples if fnmatchcase(name, pattern)), None)
            if own is None:
                own = times_of_prior if p in prior else 1.0
                self.reads_prior_lr |= p in prior
            matrix = p.ndim > 1 and p not in prior
            kind = {"weight_decay": self.weight_decay if matrix else 0.0, "times": own, "matrix": matrix}
            groups.setdefault(tuple(kind.values()), {"params": [], **kind})["params"].append(p)
        self.parameters = list(named)
        self.optimizer = self.optimizer_of(list(groups.values()))
        self.total_steps = total_steps
        return self

    def notes(self) -> list[str]:
        """What the log says of it at the start, once it is attached."""
        if self.prior_lr == "auto" or self.reads_prior_lr:
            return []
        return [f"optimizer.prior_lr={self.prior_lr} is not read: no parameter of the prior learns at that rate"]

    def rate(self, step: int) -> float:
        """The learning rate at `step`, counted from 0."""
        warm = self.warmup * self.total_steps
        if step < warm:
            return self.lr * (step + 1) / (warm + 1)
        done = (step - warm) / max(1.0, self.total_steps - warm)
        return self.lr * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))

    def step(self, step: int) -> torch.Tensor:
        """Clip, update, clear, after every `accumulate` steps and at the last. Returns the norm before clipping, [], of
        the gradient, or of the mean of those that wait."""
        self.updated = (step + 1) % self.accumulate == 0 or step + 1 == self.total_steps
        self.waiting += 1
        gradients = [p.grad for p in self.parameters if p.grad is not None]
        if not self.updated:
            return nn.utils.get_total_norm(gradients) / self.waiting
        if self.waiting > 1:
            torch._foreach_div_(gradients, self.waiting)
        self.waiting = 0
        norm = nn.utils.clip_grad_norm_(self.parameters, math.inf if self.clip is None else self.clip)
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate(step) * group["times"]
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return norm

    def state_dict(self) -> dict:
        """The optimizer's state, and the gradients that wait for an update."""
        gradients = [p.grad for p in self.parameters]
        return {"optimizer": self.optimizer.state_dict(), "gradients": gradients, "waiting": self.waiting}

    def load_state_dict(self, state: dict) -> None:
        self.optimizer.load_state_dict(state["optimizer"])
        self.waiting = state["waiting"]
        for p, gradient in zip(self.parameters, state["gradients"], strict=True):
            p.grad = None if gradient is None else gradient.to(p)


@dataclass(kw_only=True)
class AdamW(Optimization):
    """Adam with decoupled weight decay (Loshchilov & Hutter 2019)."""

    usual_lr = 0.002
    betas: tuple[float, float] = (0.9, 0.999)

    def __post_init__(self):
        super().__post_init__()
        for beta in self.betas:
            require_below_one(betas=beta)

    def optimizer_of(self, groups):
        return unmarked(torch.optim.AdamW)(groups, lr=self.lr, betas=tuple(self.betas), fused=True)


@dataclass(kw_only=True)
class SGD(Optimization):
    """Stochastic gradient descent with Nesterov momentum."""

    momentum: float = 0.9

    def __post_init__(self):
        super().__post_init__()
        require_below_one(momentum=self.momentum)

    def optimizer_of(self, groups):
        return unmarked(torch.optim.SGD)(
            groups, lr=self.lr, momentum=self.momentum, nesterov=self.momentum > 0, fused=True
        )


@dataclass(kw_only=True)
class LARS(Optimization):
    """Layerwise adaptive rates (You et al. 2017), as in SimCLR and BYOL: each matrix or filter bank moves by a share
    `trust` of its norm; biases, norms and scalars follow plain SGD with momentum."""

    momentum: float = 0.9
    trust: float = 0.001

    def __post_init__(self):
        super().__post_init__()
        require_below_one(momentum=self.momentum)
        require_above(0, trust=self.trust)

    def optimizer_of(self, groups):
        return unmarked(LayerwiseSGD)(groups, lr=self.lr, momentum=self.momentum, trust=self.trust)


class LayerwiseSGD(torch.optim.Optimizer):
    """v <- momentum v + r (g + weight_decay w), w <- w - lr v; r = trust |w| / |g + weight_decay w| in groups with
    `matrix`, 1 in others and where a norm is 0."""

    def __init__(self, groups: list[dict], *, lr: float, momentum: float, trust: float):
        super().__init__(groups, {"lr": lr, "momentum": momentum, "trust": trust})

    @torch.no_grad()
    def step(self) -> None:
        for group in self.param_groups:
            for p in (p for p in group["params"] if p.grad is not None):
                update = p.grad + group["weight_decay"] * p
                if group["matrix"]:
                    size, pull = p.norm(), update.norm()
                    update *= torch.where((size > 0) & (pull > 0), group["trust"] * size / pull, 1.0)
                velocity = self.state[p].setdefault("velocity", torch.zeros_like(p))
                velocity.mul_(group["momentum"]).add_(update)
                p.sub_(group["lr"] * velocity)


@dataclass(kw_only=True)
class Muon(Optimization):
    """Orthogonalised momentum (Jordan et al. 2024): each matrix or filter bank moves along the orthogonal factor of its
    momentum, with entries as large as those of an update by Adam (Liu et al. 2025). Biases, norms, scalars and the
    prior's own parameters follow Adam."""

    momentum: float = 0.95
    betas: tuple[float, float] = (0.9, 0.999)

    def __post_init__(self):
        super().__post_init__()
        require_below_one(momentum=self.momentum)
        for beta in self.betas:
            require_below_one(betas=beta)

    def optimizer_of(self, groups):
        return unmarked(OrthogonalMomentum)(groups, lr=self.lr, momentum=self.momentum, betas=tuple(self.betas))


class OrthogonalMomentum(torch.optim.Optimizer):
    """In groups with `matrix`, of w as [R, C]: m <- momentum m + (1 - momentum) g, and w <- (1 - lr weight_decay) w
    - 0.2 lr sqrt(max(R, C)) O, O the orthogonal factor of momentum m + (1 - momentum) g. In others Adam."""

    def __init__(self, groups: list[dict], *, lr: float, momentum: float, betas: tuple[float, float]):
        super().__init__(groups, {"lr": lr, "momentum": momentum, "betas": betas})

    @torch.no_grad()
    def step(self) -> None:
        for group in self.param_groups:
            for p in (p for p in group["params"] if p.grad is not None):
                move = self._orthogonal if group["matrix"] else self._adam
                p.mul_(1 - group["lr"] * group["weight_decay"]).sub_(group["lr"] * move(p, group))

    def _orthogonal(self, p: nn.Parameter, group: dict) -> torch.Tensor:
        mean = self.state[p].setdefault("mean", torch.zeros_like(p)).lerp_(p.grad, 1 - group["momentum"])
        ahead = p.grad.lerp(mean, group["momentum"]).flatten(1)
        return 0.2 * max(ahead.shape) ** 0.5 * orthogonalised(ahead).view(p.shape)

    def _adam(self, p: nn.Parameter, group: dict) -> torch.Tensor:
        state, (of_mean, of_square) = self.state[p], group["betas"]
        state["step"] = state.get("step", 0) + 1
        mean = state.setdefault("mean", torch.zeros_like(p)).lerp_(p.grad, 1 - of_mean)
        square = state.setdefault("square", torch.zeros_like(p)).lerp_(p.grad**2, 1 - of_square)
        unbiased = square / (1 - of_square ** state["step"])
        return mean / (1 - of_mean ** state["step"]) / (unbiased.sqrt() + 1e-8)


def orthogonalised(x: torch.Tensor) -> torch.Tensor:
    """Near U V^T of x = U S V^T, [R, C]: with the same U and V, and singular values between 0.6 and 1.2 where those of
    x are above a 500th of its norm. By five steps X <- p(X X^T) X of a Newton-Schulz iteration (Jordan et al. 2024).

    The factors p(X X^T), [R, R], are multiplied, and meet x once: a filter bank is much wider than high."""
    wide = x if x.shape[0] <= x.shape[1] else x.T
    wide = wide / (wide.norm() + 1e-7)
    gram = wide @ wide.T
    factors = newton_schulz(gram)
    for _ in range(4):
        factors = newton_schulz(factors @ gram @ factors) @ factors  # symmetric, as each is a polynomial of gram
    wide = factors @ wide
    return wide if x.shape[0] <= x.shape[1] else wide.T


def newton_schulz(gram: torch.Tensor) -> torch.Tensor:
    """3.4445 I - 4.775 gram + 2.0315 gram^2."""
    factor = torch.addmm(gram, gram, gram, beta=-4.775, alpha=2.0315)
    factor.diagonal().add_(3.4445)
    return factor
