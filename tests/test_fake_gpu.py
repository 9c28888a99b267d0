"""A GPU that is not there: pairs and the ELBO are computed on torch's fake tensors, which believe they are on cuda.

A tensor made on the CPU raises, and so does every number that Python would have to wait for. Left out: the backward
pass, which needs a GPU's streams, and so the estimators that take steps of their own (classifier, telescoping).
"""

import pytest
import torch
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode

from helpers import composed
from ssvae_cli.datasets.base import CONTRACT
from ssvae_cli.instantiate.build import build
from ssvae_cli.instantiate.groups import choices
from ssvae_cli.objective import make_objective
from ssvae_cli.pairs.base import make_pairs
from ssvae_cli.training.step import Forward

BATCH = 12
SMALL = ["encoder.backbone.width=4", "encoder.latent_dim=4", "encoder.projector=[]"]
OF_SCORES = {name: "mi" for name in ("dv", "interpolated", "js", "mine", "nwj", "smile", "tuba")}
OF_ENTROPIES = {name: "gaussian" for name in ("conditionals", "hinges", "knn", "logdet", "sliced")}
BASELINES = ("cross_correlation", "hsic", "whitening")
CASES = {
    **{f"prior={name}": [] for name in choices("prior")},
    **{f"estimator={name}": ["prior=infonce"] for name in ("eq3", "leave_one_out", "queue")},
    **{f"estimator={name}": [f"prior={prior}"] for name, prior in (OF_SCORES | OF_ENTROPIES).items()},
    **{f"estimator={name}": ["prior=unspecified"] for name in BASELINES},
    "estimator=kde": ["prior=vmf"],
    "estimator=stopgrad": ["prior=predictor", "encoder_prime=ema"],
    "estimator=aggregate": ["prior=gaussian", "posterior=gaussian"],
    "posterior=gaussian": [],
    "posterior=logit_normal": ["prior=laplace", "prior.space=box", "estimator=aggregate"],
    "decoder=conv": ["prior=unstructured_normal"],
    "decoder=implicit_joint": ["prior=gaussian"],
    "prior.direction=both": [],
    "encoder_prime=separate": [],
    **{f"pairs={name}": [] for name in ("affine", "halves", "noise", "patches", "simclr")},
}
WAITING = {"posterior=power_spherical": ["prior=vmf", "estimator=kde"]}  # samples by rejection, on a stream of its own


@pytest.fixture(scope="module")
def digits():
    return build(composed("dataset.limit=40").dataset, "dataset", CONTRACT, fitted={})


class GpuGenerator(torch.Generator):
    """A generator that says that it is on the GPU: a true one needs a GPU, and fake tensors ask it for nothing."""

    device = torch.device("cuda")


def moved(objective):
    """The objective with parameters and buffers of the same shapes on the GPU, without numbers."""
    for module in objective.modules():
        for name, parameter in module._parameters.items():
            if parameter is not None:
                empty = torch.empty(parameter.shape, dtype=parameter.dtype, device="cuda")
                module._parameters[name] = torch.nn.Parameter(empty, parameter.requires_grad)
        for name, buffer in module._buffers.items():
            if buffer is not None:
                module._buffers[name] = torch.empty(buffer.shape, dtype=buffer.dtype, device="cuda")
    return objective


def elbo(case, data):
    """That of a batch of digits, as a training step computes it."""
    config = composed(*SMALL, case, *(CASES | WAITING)[case])
    pairs = make_pairs(config.pairs, data)
    shapes = pairs.shapes(data)
    objective = make_objective(config, *shapes)
    first, numbers = next(data.train.batches(BATCH)), GpuGenerator()
    with FakeTensorMode():
        batch = first._map(lambda rows: torch.empty(rows.shape, dtype=rows.dtype, device="cuda"), of=first.of)
        return Forward(moved(objective), pairs, numbers, compile=False)(batch)


@pytest.mark.parametrize("case", CASES)
def test_nothing_in_a_step_waits_for_the_gpu(case, digits):
    assert elbo(case, digits).device.type == "cuda"


@pytest.mark.parametrize("case", WAITING)
def test_what_is_known_to_wait_is_seen(case, digits):
    with pytest.raises(DataDependentOutputException):
        elbo(case, digits)
