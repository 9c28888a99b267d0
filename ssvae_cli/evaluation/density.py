"""log Q(z) by a fresh classifier, for reported numbers: fitted on training z, stopped on validation."""

import copy
import math
from collections.abc import Callable

import torch
from torch import Tensor

from ssvae_cli.couplings import mlp
from ssvae_cli.estimators.classifier import cross_entropy

HIDDEN = [256, 256]
BATCH = 512
STEPS = 1500
CHECK_EVERY = 50
LEAST_VARIANCE = 1e-12  # of the largest; below it a direction has no density to speak of


def fit_density(train: Tensor, validation: Tensor, space, seed: int = 0) -> Callable[[Tensor], Tensor]:
    """z -> log Q(z), [B, D] -> [B], nats, by a new classifier between samples of Q and of a reference.

    train, validation: samples of Q(z), [N, D]. The reference is the space's; in Euclidean space it has Q's mean and
    covariance, so that the network has only the shape to learn. The weights with the lowest cross-entropy on
    validation are kept, so that a ratio that cannot be learned reads 0. Source: Sec. 3.1 of the paper.
    """
    to_reference, log_volume = _moments(train) if space.name == "euclidean" else (lambda z: z, 0.0)
    train, validation = to_reference(train), to_reference(validation)
    # A stream of its own: evaluating in the middle of training must not move the training's.
    with torch.random.fork_rng(devices=[train.device] if train.device.type == "cuda" else []), torch.enable_grad():
        torch.manual_seed(seed)
        network = mlp([train.shape[1], *HIDDEN, 1]).to(train)
        torch.nn.init.zeros_(network[-1].weight)  # starts from Q = reference
        torch.nn.init.zeros_(network[-1].bias)
        optimizer = torch.optim.AdamW(network.parameters(), lr=2e-3, weight_decay=1e-4)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, STEPS)
        held = space.sample(validation)
        best, kept = math.inf, None
        for step in range(STEPS + 1):
            if step % CHECK_EVERY == 0:
                with torch.no_grad():
                    loss = cross_entropy(network, held, validation).item()
                if kept is None or loss < best:
                    best, kept = loss, copy.deepcopy(network.state_dict())
            z = train[torch.randint(len(train), (min(BATCH, len(train)),), device=train.device)]
            cross_entropy(network, space.sample(z), z).backward()
            optimizer.step()
            optimizer.zero_grad()
            schedule.step()
        network.load_state_dict(kept)

    @torch.no_grad()
    def log_q(z: Tensor) -> Tensor:
        at = to_reference(z)
        return space.log_prob(at) + log_volume - network(at).squeeze(1)

    return log_q


def _moments(z: Tensor) -> tuple[Callable[[Tensor], Tensor], float]:
    """(the linear map that gives z mean 0 and covariance I, the log of its determinant)."""
    mean = z.mean(0)
    variance, axes = torch.linalg.eigh(torch.cov((z - mean).double().T).reshape(z.shape[1], z.shape[1]))
    variance = variance.clamp_min(max(LEAST_VARIANCE * variance.max().item(), 1e-30))
    whiten = (axes / variance.sqrt()).to(z)
    return lambda z: (z - mean) @ whiten, -0.5 * variance.log().sum().item()
