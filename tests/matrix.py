"""Configurations of tiny parts that together meet each choice of prior, estimator, encoder, posterior and pairs once.

Each is the whole of a training step: what tests of compilation and of a GPU that is not there go through."""

import functools
import os

import torch

from helpers import composed
from ssvae_cli.datasets.base import CONTRACT, Data
from ssvae_cli.instantiate.build import build
from ssvae_cli.instantiate.groups import choices
from ssvae_cli.objective import Objective, classes, make_objective, serves
from ssvae_cli.pairs.base import Pairs, make_pairs

BATCH = 12
ALL = os.environ.get("SSVAE_MATRIX") == "all"
FEW = ["dataset.train=40", "dataset.validation=12", "dataset.test=12"]
VECTORS = ["dataset=latents", "dataset/law=normal", "dataset.dim=4", *FEW, "encoder=linear"]
IMAGES = ["dataset=digits", "dataset.limit=40", "encoder=linear"]
CONVNET = ["dataset=digits", "dataset.limit=40", "encoder.backbone.width=4", "encoder.projector=[]"]
FRAMES = ["dataset=balls", *FEW, "dataset.steps=9", "dataset.size=8", "pairs.window=3", "encoder/frame=mlp"]
FRAMES += ["encoder.frame.hidden=[4]", "encoder.backbone.width=4", "encoder_prime.backbone.width=4"]
SERIES = ["dataset=latents", "dataset/law=linear_dynamics", "dataset.dim=4", "dataset.steps=9", *FEW]
SERIES += ["encoder=linear", "pairs=window", "pairs.length=3"]
SMALL_FLOW = ["encoder=realnvp", "encoder.backbone.layers=2", "encoder.backbone.hidden=[4]"]
NETWORK = ["estimator.hidden=[4]", "estimator.steps=1"]

CASES = [
    [*VECTORS, "prior=infonce", "estimator=infonce"],
    [*VECTORS, "prior=infonce", "estimator=queue", "estimator.size=30", "prior/critic=cosine", "prior.direction=both"],
    [*VECTORS, "prior=infonce", "estimator=leave_one_out", "prior/critic=laplace", "pairs=dropout"],
    [*VECTORS, "prior=mi", "estimator=eq3", "prior/critic=bilinear", "posterior=gaussian"],
    [*VECTORS, "prior=mi", "estimator=nwj", "prior/critic=rbf"],
    [*VECTORS, "prior=mi", "estimator=tuba", "prior/critic=student"],
    [*VECTORS, "prior=mi", "estimator=interpolated", "prior/critic=separable"],
    [*VECTORS, "prior=mi", "estimator=js", "prior/critic=mlp"],
    [*VECTORS, "prior=energy", "estimator=dv", "prior/critic=diagonal_rbf"],
    [*VECTORS, "prior=energy", "estimator=mine", "prior/critic=bilinear_bias", "encoder_prime=separate"],
    [*VECTORS, "prior=energy", "estimator=smile"],
    [*VECTORS, "prior=gaussian", "estimator=conditionals"],
    [*VECTORS, "prior=gaussian", "decoder=implicit_joint"],
    [*VECTORS, "prior=linear_dynamics", "estimator=knn"],
    [*VECTORS, "prior=unstructured_sphere", "estimator=knn"],
    [*VECTORS, "prior=student", "prior.space=box", "estimator=knn"],
    [*VECTORS, "prior=predictor", "estimator=stopgrad", "encoder_prime=ema", "prior/mean=mlp"],
    [*VECTORS, "prior=predictor", "estimator=stopgrad", "encoder_prime=detached", "prior/mean=linear"],
    [*VECTORS, "prior=mixture", "estimator=aggregate", "posterior=gaussian"],
    [*VECTORS, "prior=categorical", "estimator=frequencies", "posterior=categorical"],
    [*VECTORS, "prior=shared_latent", "estimator=hinges"],
    [*VECTORS, "prior=vmf", "estimator=kde", "posterior=power_spherical", "encoder.latent_dim=62"],
    [*VECTORS, "prior=normal", "estimator=logdet"],
    [*VECTORS, "prior=laplace", "prior.space=box", "estimator=aggregate", "posterior=logit_normal"],
    [*VECTORS, "prior=student", "estimator=sliced", "trainer.microbatch=5"],
    [*VECTORS, *SMALL_FLOW, "prior=unspecified", "estimator=whitening", "posterior=deterministic"],
    [*VECTORS, "prior=unstructured_sphere", "posterior=stochastic"],
    [*VECTORS, "prior=unspecified", "estimator=cross_correlation", "encoder=mlp", "encoder.backbone.hidden=[4]"],
    [*VECTORS, "prior=unstructured_laplace"],
    [*VECTORS, "prior=unspecified", "estimator=hsic", "pairs=noise"],
    [*SERIES, "prior=switching_dynamics", "estimator=conditionals"],
    [*SERIES, "prior=predictor", "prior/mean=gru", "estimator=conditionals", "encoder.latent_dim=4"],
    [*FRAMES, "encoder=gru", "prior=infonce", "prior.direction=forward", "pairs.negatives=both", "pairs.times=2"],
    [*FRAMES, "encoder=causal_conv", "prior=mi"],
    [*CONVNET, "decoder=conv", "decoder.width=4", "prior=unstructured_normal", "estimator=analytic"],
    [*IMAGES, "pairs=simclr"],
    [*IMAGES, "pairs=affine"],
    [*IMAGES, "pairs=halves"],
    [*IMAGES, "pairs=patches"],
    ["dataset=digits", "dataset.limit=200", "encoder=linear", "pairs=supervised"],
]
LARGE = [
    [*CONVNET, "trainer.microbatch=5"],
    [*IMAGES, "encoder=resnet18", "encoder.projector=[]"],
    [*IMAGES, "encoder=torchvision", "encoder.backbone.name=squeezenet1_1", "pairs=simclr", "pairs.size=32"],
]
OWN_STEPS = [[*VECTORS, "prior=gaussian", f"estimator={name}", *NETWORK] for name in ("classifier", "telescoping")]
ELSEWHERE = {"timm", "identity", "separable_wide", "convnet", "resnet18", "torchvision"}  # files, packages; large
DEFAULTS = {"context", "latent", "shared", "implicit"}  # what a data set brings, or every case without the word


def every_prior_and_estimator() -> list[list[str]]:
    """Each prior with each estimator that serves it, with the posterior and g' that it needs: many minutes."""
    return [
        [*VECTORS, f"prior={prior}", f"estimator={name}"]
        + ["posterior=stochastic"] * estimator.needs_density
        + ["encoder_prime=ema"] * estimator.needs_target
        for prior, of_prior in classes("prior").items()
        for name, estimator in classes("estimator").items()
        if serves(of_prior, estimator) and name not in ("classifier", "telescoping")
    ]


def cases() -> list[list[str]]:
    """Those of a test run; all priors with all estimators with SSVAE_MATRIX=all."""
    return CASES + (LARGE + every_prior_and_estimator() if ALL else [])


def named(case: list[str]) -> str:
    """A short name of a case: what it does not share with others."""
    shared = {*VECTORS, *IMAGES, *CONVNET, *FRAMES, *SERIES}
    return " ".join(word for word in case if word not in shared or word.startswith("pairs")) or " ".join(case)


@functools.cache
def _data(overrides: tuple[str, ...]) -> Data:
    return build(composed(*overrides).dataset, "dataset", CONTRACT, fitted={}).to(torch.device("cpu"))


def parts(case: list[str]) -> tuple[Data, Pairs, Objective]:
    """The data, which cases share, the pair generator and the objective of a case."""
    data = _data(tuple(word for word in case if word.startswith("dataset")))
    size = [] if any(word.startswith("encoder.latent_dim") for word in case) else ["encoder.latent_dim=4"]
    config = composed(*case, *size)
    pairs = make_pairs(config.pairs, data)
    return data, pairs, make_objective(config, *pairs.shapes(data)).train()


def unmet(group: str) -> set[str]:
    """The choices of a group that no case names."""
    words = {word.removeprefix(f"{group}=") for case in CASES + OWN_STEPS for word in case}
    return {*choices(group)} - words - ELSEWHERE - DEFAULTS
