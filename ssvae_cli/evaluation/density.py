"""log Q(z) by a fresh classifier, for reported numbers: fitted on training z, stopped on validation."""

import copy
import math
from collections.abc import Callable

import torch
from torch import Tensor

from ssvae_cli.couplings import mlp
from ssvae_cli.estimators.classifier import cross_entropy
from ssvae_cli.streams import own_stream

HIDDEN = [256, 256]
BATCH = 512
STEPS = 1500
CHECK_EVERY = 50


def fit_density(train: Tensor, validation: Tensor, space, seed: int = 0) -> Callable[[Tensor], Tensor]:
    """z -> log Q(z), [B, D] -> [B], nats, by a new classifier between samples of Q and of a reference.

    train, validation: samples of Q(z), [N, D]. The reference is the space's, with Q's first moments, so that the
    network has only the shape to learn. The weights with the lowest cross-entropy on
    validation are kept, so that a ratio that cannot be learned reads 0. Source: Sec. 3.1 of the paper.
    """
    to_reference = space.standardiser(train.double())
    train, validation = (to_reference(z.double())[0].float() for z in (train, validation))
    # A stream of its own: evaluating in the middle of training must not move the training's.
    with own_stream(seed, train.device), torch.enable_grad():
        network = mlp([train.shape[1], *HIDDEN, 1]).to(train)
        logit = lambda u: network(u).squeeze(1)  # noqa: E731
        torch.nn.init.zeros_(network[-1].weight)  # starts from Q = reference
        torch.nn.init.zeros_(network[-1].bias)
        optimizer = torch.optim.AdamW(network.parameters(), lr=2e-3, weight_decay=1e-4)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, STEPS)
        held = space.sample(validation)
        best, kept = math.inf, None
        for step in range(STEPS + 1):
            if step % CHECK_EVERY == 0:
                with torch.no_grad():
                    loss = cross_entropy(logit, held, validation).item()
                if kept is None or loss < best:
                    best, kept = loss, copy.deepcopy(network.state_dict())
            z = train[torch.randint(len(train), (min(BATCH, len(train)),), device=train.device)]
            cross_entropy(logit, space.sample(z), z).backward()
            optimizer.step()
            optimizer.zero_grad()
            schedule.step()
        network.load_state_dict(kept)

    @torch.no_grad()
    def log_q(z: Tensor) -> Tensor:
        u, log_jacobian = to_reference(z.double())
        return (space.log_prob(u) + log_jacobian).to(z) - logit(u.to(z))

    return log_q
