"""Run by torchrun from tests/test_ranks.py: one step of each case, in float64, saved by the first rank.

usage: two_ranks.py FOLDER; the number of processes is torchrun's.
"""

import sys
from functools import partial
from pathlib import Path
from unittest import mock

import torch

from ssvae_cli.critics import Bilinear, Cosine
from ssvae_cli.datasets import Split
from ssvae_cli.distributed.batch_norm import synchronise_batch_norm
from ssvae_cli.distributed.collectives import average_gradients, init_process_group, is_rank_zero, sharded, world_size
from ssvae_cli.encoders import ConvNet, Encoder, posteriors
from ssvae_cli.estimators import (
    DV,
    HSIC,
    JS,
    KDE,
    KNN,
    MINE,
    NWJ,
    TUBA,
    Aggregate,
    Classifier,
    Conditionals,
    CrossCorrelation,
    Frequencies,
    Hinges,
    InfoNCE,
    LeaveOneOut,
    Queue,
    Sliced,
)
from ssvae_cli.objective import Objective
from ssvae_cli.pairs.augment import Augment
from ssvae_cli.pairs.colour import Jitter, Noise
from ssvae_cli.pairs.geometry import Crop
from ssvae_cli.priors import MI, VMF, Categorical, Energy, Gaussian, Normal, Unspecified
from ssvae_cli.priors import InfoNCE as InfoNCEPrior
from ssvae_cli.scores import in_batch

BATCH, LATENT = 21, 6  # two processes do not divide it


def scored(prior, estimator, critic=None, posterior="deterministic", direction="both"):
    return prior(critic=critic or Cosine(temperature=0.3), direction=direction), estimator, posterior


def gaussian(covariance):
    return Gaussian(latent_dim=LATENT, correlation=0.5, learn=True, covariance=covariance)


def stepping(marginal):
    return Normal(latent_dim=LATENT, scale=0.5, learn=True, space="euclidean", marginal=marginal)


def categories():
    return Categorical(latent_dim=LATENT, agreement=0.6, uniform=True, learn=True)


CLASSIFIER = partial(Classifier, hidden=[8], lr=0.01, steps=2, replay=1)
CASES = {
    "infonce": lambda: scored(InfoNCEPrior, InfoNCE()),
    "infonce in tiles": lambda: scored(InfoNCEPrior, InfoNCE(), Bilinear(latent_dim=LATENT)),
    "infonce, gaussian posterior": lambda: scored(InfoNCEPrior, InfoNCE(), posterior="gaussian"),
    "queue": lambda: scored(InfoNCEPrior, Queue(size=30, latent_dim=LATENT)),
    "leave_one_out": lambda: scored(InfoNCEPrior, LeaveOneOut()),
    "nwj": lambda: scored(MI, NWJ()),
    "js": lambda: scored(MI, JS()),
    "dv": lambda: scored(Energy, DV()),
    "mine": lambda: scored(Energy, MINE(decay=0.5)),
    "tuba": lambda: scored(Energy, TUBA()),
    "gaussian prior": lambda: (gaussian("correlation"), CLASSIFIER(dims=[LATENT] * 2), "deterministic"),
    "gaussian prior, conditionals": lambda: (gaussian("full"), Conditionals(), "deterministic"),
    "gaussian prior, aggregate": lambda: (gaussian("full"), Aggregate(), "gaussian"),
    "normal prior, kde": lambda: (stepping("own"), KDE(bandwidth="learned"), "deterministic"),
    "normal prior, likeliest kde": lambda: (stepping("own"), KDE(bandwidth="leave_one_out", order=2), "deterministic"),
    "normal prior, knn": lambda: (stepping("own"), KNN(k=2, tail=0.2), "deterministic"),
    "normal prior, sliced": lambda: (stepping("encoder"), Sliced(slices=8, weight=0.1), "deterministic"),
    "normal prior, hinges": lambda: (stepping("encoder"), Hinges(std=1, variance=1, covariance=1), "deterministic"),
    "no prior, cross_correlation": lambda: (Unspecified(), CrossCorrelation(weight=0.1), "deterministic"),
    "categories": lambda: (categories(), Frequencies(), "categorical"),
    "no prior, hsic": lambda: (Unspecified(space="sphere"), HSIC(scale=1, penalty=3), "deterministic"),
    "vmf prior, kde": lambda: (VMF(latent_dim=LATENT, concentration=5.0, learn=True), KDE(), "power_spherical"),
    "gaussian prior, aggregate, joint decoder": lambda: (gaussian("full"), Aggregate(), "gaussian"),
    "infonce, other times": lambda: scored(partial(InfoNCEPrior, negatives="both"), InfoNCE(), direction="forward"),
    "infonce of three views, queue": lambda: scored(
        partial(InfoNCEPrior, views=3), Queue(size=30, latent_dim=LATENT, views=3)
    ),
}


POSTERIORS = {
    "deterministic": posteriors.Deterministic(),
    "categorical": posteriors.Categorical(),
    "power_spherical": posteriors.PowerSpherical(),
    "gaussian": posteriors.Gaussian(least_std=0.01, largest_std=5.0),
}


def step(name: str) -> dict[str, torch.Tensor]:
    """The ELBO of two batches one after the other, every gradient of the second, every buffer after it."""
    torch.manual_seed(0)
    prior, estimator, posterior = CASES[name]()
    times = 2 if "other times" in name else 0
    shape = (3, 8, 8)
    backbone = partial(ConvNet, width=4, stages=2, stride=1, pool=2)
    of_z = {"latent_dim": LATENT, "posterior": POSTERIORS[posterior], "space": prior.space}
    encoder = Encoder(shape=shape, backbone=backbone, projector=[8], **of_z)
    objective = Objective(encoder=encoder, encoder_prime=None, prior=prior, estimator=estimator, joint="joint" in name)
    objective = objective.double()
    objective = synchronise_batch_norm(objective, torch.device("cpu")).train()
    jitter = Jitter(brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1, probability=0.8)
    crop = Crop(scale=(0.3, 1.0), ratio=(0.75, 1.33))
    none = dict.fromkeys(["affine", "grayscale", "blur", "solarize", "size"])
    pairs = Augment(
        crop=crop, flip=0.5, jitter=jitter, noise=Noise(std=0.1), mean=0.5, std=0.25, views=prior.views + times, **none
    )
    images = torch.randint(256, (2, BATCH, *shape), dtype=torch.uint8)
    noise = torch.Generator().manual_seed(1)
    values = {}
    tiled_above = mock.patch.object(in_batch, "TILED_ABOVE", 0 if "tiles" in name else 10**9)
    for i in range(2):
        objective.zero_grad()
        with tiled_above, sharded(BATCH) as own:
            views = pairs(Split(images[i, own], torch.zeros(own.stop - own.start)), noise)
            views = [view.double() for view in views]
            elbo = objective(*views[: prior.views], times=views[prior.views :])
            (-elbo).backward()
            parameters = dict(objective.named_parameters())
            average_gradients(list(parameters.values()))
        values[f"elbo {i}"] = elbo.detach()
    values |= {f"gradient of {k}": p.grad for k, p in parameters.items() if p.requires_grad}
    values |= {k: p.detach() for k, p in parameters.items() if not p.requires_grad}
    return values | {k: b.clone() for k, b in objective.named_buffers()}


if __name__ == "__main__":
    init_process_group(torch.device("cpu"))
    values = {name: step(name) for name in CASES}
    if is_rank_zero():
        torch.save(values, Path(sys.argv[1]) / f"{world_size()}.pt")
