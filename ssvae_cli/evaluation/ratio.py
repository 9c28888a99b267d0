"""log Q / P by a fresh classifier, for reported numbers: fitted on train, chosen on validation."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from ssvae_cli.compiler import unmarked
from ssvae_cli.distributions.seeding import own_stream
from ssvae_cli.errors import require_above, require_at_least
from ssvae_cli.estimators.classifier import cross_entropy
from ssvae_cli.evaluation.densities.clusters import Clusters
from ssvae_cli.evaluation.estimate import Estimate
from ssvae_cli.evaluation.fit import PairedStop, fit
from ssvae_cli.evaluation.samples import Pairs
from ssvae_cli.layers import mlp, require_widths

Joined = Sequence[Tensor]  # samples with their sides joined, for the fit and for validation, [N, F] each
LogRatio = Callable[[Tensor], Tensor]  # [B, D] -> [B], nats
EFFECTIVE = 100  # samples of P, at least, that a mean over P must rest on


@dataclass(frozen=True, kw_only=True)
class RatioFit:
    """Settings of a classifier between samples of two distributions."""

    hidden: list[int]  # widths of its layers
    steps: int  # of AdamW
    batch_size: int  # samples of each distribution
    lr: float
    eval_every: int  # steps between validations

    def __post_init__(self):
        require_widths("hidden", self.hidden)
        require_above(0, lr=self.lr)
        require_at_least(1, steps=self.steps, batch_size=self.batch_size, eval_every=self.eval_every)

    def log_ratio(
        self,
        train: Tensor,
        validation: Tensor,
        of_p: tuple[Tensor, Tensor],
        *,
        seed: int,
        start: LogRatio | None = None,
    ) -> LogRatio:
        """z -> log Q(z) / P(z), [B, D] -> [B], nats, by a classifier between samples of Q and of P.

        train, validation: samples of Q, [N, D]. of_p: samples of P, for each of the two. start: log Q / P to which the
        network's output is added; None starts from Q = P. It is read at all samples once.
        """
        mean, std = train.mean(0), train.std(0)
        std = std.clamp_min(1e-3 * std.max())
        lift = lambda z: (z - mean) / std
        begin = start or (lambda z: z.new_zeros(len(z)))
        with own_stream(seed, train.device), torch.enable_grad():  # leaves the random numbers of training unchanged
            network = mlp([train.shape[1], *self.hidden, 1]).to(train)
            torch.nn.init.zeros_(network[-1].weight)
            torch.nn.init.zeros_(network[-1].bias)
            optimizer = unmarked(torch.optim.AdamW)(network.parameters(), lr=self.lr, fused=True)
            schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, self.steps)
            pools = [(lift(z), begin(z).detach().to(z)) for z in (of_p[0], train, of_p[1], validation)]

            def objective() -> Tensor:
                drawn = [draw_with_replacement(len(u), self.batch_size, u.device) for u, _ in pools[:2]]
                u, at_start = (torch.cat([of[rows] for of, rows in zip(side, drawn)]) for side in zip(*pools[:2]))
                return -cross_entropy(torch.neg, *(network(u).squeeze(1) + at_start).split(list(map(len, drawn))))

            stop = PairedStop()

            def validate() -> float:
                of_p, of_q = (network(u).squeeze(1) + at_start for u, at_start in pools[2:])
                return stop.rate(-F.softplus(of_p), -F.softplus(-of_q))

            limits = {"steps": self.steps, "eval_every": self.eval_every, "ended": stop}
            fit(network, objective, validate, optimizer, **limits, schedule=schedule)
        return torch.no_grad()(lambda z: network(lift(z)).squeeze(1) + begin(z).to(z))


def normaliser(of_p: Tensor) -> Estimate:
    """log E_P [Q/P], from log Q/P of samples of P, [n]: 0 of the true ratio. Unknown, with an infinite error, where few
    samples carry the mean: P then seldom lies where Q does."""
    log_mean = of_p.logsumexp(0).item() - math.log(len(of_p))
    shares = of_p.double().softmax(0)
    error = (shares - 1 / len(shares)).square().sum().sqrt().item()
    return Estimate(log_mean, error if shares.square().sum() * EFFECTIVE < 1 else math.inf)


def normal_ratio(of_q: Joined, of_p: Joined) -> LogRatio | None:
    """log Q/P of normal densities of both, from samples for the fit and for validation; None where Q = P is better."""
    if len(of_q[0]) <= 2 * of_q[0].shape[1]:
        return None
    alone = lambda z: Pairs(z[:, :0], z)
    generator = torch.Generator().manual_seed(0)
    q, p = (Clusters.fitted(*map(alone, side), components=1, generator=generator) for side in (of_q, of_p))
    log_ratio = lambda z: q(*alone(z)) - p(*alone(z))
    loss = cross_entropy(torch.neg, *(log_ratio(side[1]) for side in (of_p, of_q)))
    return log_ratio if loss < 2 * math.log(2) else None


def draw_with_replacement(rows: int, count: int, device: torch.device) -> Tensor:
    """The places of `count` of the rows, at most all, drawn independently: int64 [min(count, rows)]."""
    return torch.randint(rows, (min(count, rows),), device=device)
