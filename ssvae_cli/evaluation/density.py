"""log Q(z) by a fresh classifier, for reported numbers: fitted on training z, stopped on validation."""

import copy
import math
from collections.abc import Callable

import torch
from torch import Tensor

from ssvae_cli.couplings import mlp
from ssvae_cli.estimators.classifier import cross_entropy
from ssvae_cli.streams import own_stream

Sampler = Callable[[Tensor], Tensor]  # like, [B, D] -> as many samples of P
HIDDEN = [256, 256]
BATCH = 512
STEPS = 1500
CHECK_EVERY = 50


def fit_density(train: Tensor, validation: Tensor, space, seed: int = 0) -> Callable[[Tensor], Tensor]:
    """z -> log Q(z), [B, D] -> [B], nats, by a new classifier between samples of Q and of a reference.

    train, validation: samples of Q(z), [N, D]. The reference is the space's, with Q's first moments, so that the
    network has only the shape to learn. Source: Sec. 3.1 of the paper.
    """
    to_reference = space.standardiser(train.double())
    samples = (to_reference(z.double())[0].float() for z in (train, validation))
    log_ratio = fit_log_ratio(*samples, (space.sample, space.sample), steps=STEPS, seed=seed)

    def log_q(z: Tensor) -> Tensor:
        u, log_jacobian = to_reference(z.double())
        return (space.log_prob(u) + log_jacobian).to(z) + log_ratio(u.to(z))

    return log_q


def fit_log_ratio(
    train: Tensor,
    validation: Tensor,
    samplers: tuple[Sampler, Sampler],
    *,
    steps: int,
    seed: int,
    start: Callable[[Tensor], Tensor] | None = None,
    lift: Callable[[Tensor], Tensor] = lambda z: z,
) -> Callable[[Tensor], Tensor]:
    """z -> log Q(z) / P(z), [B, D] -> [B], nats, by a new classifier between samples of Q and of P.

    train, validation: samples of Q, [N, D]. samplers: of P, for each of the two. start: what the network adds to; None
    starts from Q = P. lift: what the network sees of z. The weights with the lowest cross-entropy on validation are
    kept, so that a ratio that cannot be learned stays where it started.
    """
    # A stream of its own: evaluating in the middle of training must not move the training's.
    with own_stream(seed, train.device), torch.enable_grad():
        network = mlp([lift(train[:1]).shape[1], *HIDDEN, 1]).to(train)
        logit = lambda u: network(lift(u)).squeeze(1) - (start(u) if start else 0)  # noqa: E731
        torch.nn.init.zeros_(network[-1].weight)
        torch.nn.init.zeros_(network[-1].bias)
        optimizer = torch.optim.AdamW(network.parameters(), lr=2e-3, weight_decay=1e-4)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
        sample, held = samplers[0], samplers[1](validation)
        best, kept = math.inf, None
        for step in range(steps + 1):
            if step % CHECK_EVERY == 0:
                with torch.no_grad():
                    loss = cross_entropy(logit, held, validation).item()
                if kept is None or loss < best:
                    best, kept = loss, copy.deepcopy(network.state_dict())
            z = any_of(train, BATCH)
            cross_entropy(logit, sample(z), z).backward()
            optimizer.step()
            optimizer.zero_grad()
            schedule.step()
        network.load_state_dict(kept)
    return torch.no_grad()(lambda z: -logit(z))


def any_of(rows: Tensor, count: int) -> Tensor:
    """`count` of the rows, at most all, each drawn from all of them: [N, D] -> [min(count, N), D]."""
    return rows[torch.randint(len(rows), (min(count, len(rows)),), device=rows.device)]
