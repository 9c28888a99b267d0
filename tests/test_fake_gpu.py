"""A GPU that is not there: whole training steps on torch's fake tensors, which believe they are on another device.

1. Views, ELBO, gradient and update, with the NaN guard, of every prior, estimator, encoder and pair generator: a tensor
   made on the CPU raises, and so does every number that Python would have to wait for.
2. What training reads of the device, it reads where it says so.

The device is torch's place for devices of others (privateuse1), as CUDA's own backward pass needs a driver.
"""

import copy

import pytest
import torch
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode
from torch.utils import backend_registration

from helpers import composed
from matrix import BATCH, OWN_STEPS, VECTORS, cases, named, parts
from ssvae_cli.instantiate.build import build
from ssvae_cli.training.nan_guard import NanGuard
from ssvae_cli.training.step import Forward

NAME = "pretended"
register = getattr(backend_registration, "_setup_privateuseone_for_python_backend", None)
pytestmark = pytest.mark.skipif(register is None, reason="this torch has no devices in Python; 2.9 and later have")


def gru_cell(given, hidden, state, *biases):
    return torch.empty_like(state), state.new_empty(len(state), 5 * state.shape[1])


def gru_cell_backward(slope, workspace, has_bias):
    gates = slope.new_empty(len(slope), 3 * slope.shape[1])
    biases = gates.new_empty(gates.shape[1])
    return gates, torch.empty_like(gates), torch.empty_like(slope), biases, torch.empty_like(biases)


NOT_FAKED = {  # in torch
    "_standard_gamma_grad": lambda shape, sample: torch.empty_like(sample),
    "_thnn_fused_gru_cell": gru_cell,
    "_thnn_fused_gru_cell_backward": gru_cell_backward,
}


@pytest.fixture(scope="module")
def device():
    """A device by torch's names, which computes nothing."""
    module = backend_registration._DummyBackendModule()
    module.get_amp_supported_dtype = lambda: [torch.bfloat16]
    register(NAME, backend_module=module)
    for name, fake in NOT_FAKED.items():
        torch.library.register_fake(f"aten::{name}", fake)
    return torch.device(NAME, 0)


def moved(parts: tuple, device: torch.device) -> tuple:
    """A copy whose tensors have the same shapes, without numbers, on the device."""

    def empty(tensor: torch.Tensor, memo: dict) -> torch.Tensor:
        memo[id(tensor)] = torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device=device)
        if isinstance(tensor, torch.nn.Parameter):
            memo[id(tensor)] = torch.nn.Parameter(memo[id(tensor)], tensor.requires_grad)
        return memo[id(tensor)]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.Tensor, "__deepcopy__", empty)
        patch.setattr(torch.nn.Parameter, "__deepcopy__", empty)
        return copy.deepcopy(parts)


def step(case: list[str], device: torch.device) -> torch.Tensor:
    """The gradient's norm of a whole training step: views, ELBO, backward pass, update."""
    data, pairs, objective = parts(case)
    optimizer, batch = build(composed().optimizer, "optimizer"), next(data.train.batches(BATCH))
    generator = type("Generator", (torch.Generator,), {"device": device})()  # fake tensors ask it for nothing
    with FakeTensorMode():
        objective, pairs, batch = moved((objective, pairs, batch), device)
        forward = Forward(objective, pairs, generator, compile=False)
        guard = NanGuard(objective, device)
        optimization = optimizer.attach([objective], 10, of_prior=objective.prior.own_parameters())
        (-forward(batch)).backward()
        norm = optimization.step(0)
        guard.gradient(norm)
        objective.after_update(0.1)
    return norm


@pytest.mark.parametrize("case", cases() + OWN_STEPS, ids=named)
def test_nothing_in_a_step_waits_for_the_device(case, device):
    assert step(case, device).device.type == NAME


def test_what_is_known_to_wait_is_seen(device):
    """Views from the law vmf, which is sampled by rejection."""
    with pytest.raises(DataDependentOutputException):
        step([*VECTORS, "dataset/law=vmf"], device)
