"""log P(z) / Q(z) by a fresh classifier, for reported numbers: fitted on training z, stopped on validation."""

import copy
from collections.abc import Callable

import torch
from torch import Tensor

from ssvae_cli.estimators.classifier import Classifier

HIDDEN = [256, 256]
BATCH = 512
STEPS = 1500
CHECK_EVERY = 50


def fit_ratio(prior, train: Tensor, validation: Tensor, seed: int = 0) -> Callable[[Tensor], Tensor]:
    """z -> log P(z) / Q(z), [B, D] -> [B], nats, by a new classifier between samples of P and `train`.

    train, validation: samples of Q(z), [N, D]. The weights with the lowest cross-entropy on validation are kept,
    so a ratio that cannot be learned reads 0. Source: Sec. 3.1 of the paper.
    """
    # A stream of its own: evaluating in the middle of training must not move the training's.
    with torch.random.fork_rng(devices=[train.device] if train.device.type == "cuda" else []):
        torch.manual_seed(seed)
        network = Classifier(latent_dim=train.shape[1], hidden=HIDDEN).to(train.device)
        torch.nn.init.zeros_(network.network[-1].weight)  # starts from P = Q
        torch.nn.init.zeros_(network.network[-1].bias)
        optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3, weight_decay=1e-4)
        held = prior.sample(validation)
        best, kept = float("inf"), copy.deepcopy(network.state_dict())
        with torch.enable_grad():
            for step in range(STEPS + 1):
                if step % CHECK_EVERY == 0:
                    with torch.no_grad():
                        loss = network.cross_entropy(held, validation).item()
                    if loss < best:
                        best, kept = loss, copy.deepcopy(network.state_dict())
                z = train[torch.randint(len(train), (min(BATCH, len(train)),), device=train.device)]
                network.cross_entropy(prior.sample(z), z).backward()
                optimizer.step()
                optimizer.zero_grad()
        network.load_state_dict(kept)
    return lambda z: network.log_ratio(z).detach()
