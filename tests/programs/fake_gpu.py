"""Run by tests/test_fake_gpu.py: a whole training step of each case of tests/matrix.py on a device that is not there.

It prints {case: the error of its step, "" for none} as JSON; a process of its own, as torch counts the devices at its
first backward pass.

The device is torch's place for devices of others (privateuse1), as CUDA's own backward pass needs a driver.
"""

import copy
import json
from unittest import mock

import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils import backend_registration

from helpers import composed
from matrix import ALL, BATCH, OWN_STEPS, VECTORS, cases, named, parts
from ssvae_cli.instantiate.build import build
from ssvae_cli.training.nan_guard import NanGuard
from ssvae_cli.training.step import Forward

NAME = "pretended"
WAITS = [*VECTORS, "dataset/law=vmf"]
OPTIMIZERS = [[*VECTORS, f"optimizer={name}"] for name in ("lars", "muon")]  # the others are torch's
CASES = [*cases(), *OWN_STEPS] if ALL else [*cases()[::3], *OWN_STEPS[:1]]  # all in `make check`
CASES += OPTIMIZERS


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


def pretended() -> torch.device:
    """A device by torch's names, which computes nothing."""
    module = backend_registration._DummyBackendModule()
    module.get_amp_supported_dtype = lambda: [torch.bfloat16]
    backend_registration._setup_privateuseone_for_python_backend(NAME, backend_module=module)
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

    kinds = (torch.Tensor, torch.nn.Parameter)
    with mock.patch.object(kinds[0], "__deepcopy__", empty), mock.patch.object(kinds[1], "__deepcopy__", empty):
        return copy.deepcopy(parts)


def step(case: list[str], device: torch.device) -> torch.Tensor:
    """The gradient's norm of a whole training step: views, ELBO, backward pass, update."""
    data, pairs, objective = parts(case)
    optimizer, batch = build(composed(*case).optimizer, "optimizer"), next(data.train.batches(BATCH))
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


def outcome(case: list[str], device: torch.device) -> str:
    """The error of its step; "" where all of it is on the device."""
    try:
        place = step(case, device).device.type
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return "" if place == NAME else f"the gradient's norm is on {place}"


if __name__ == "__main__":
    device = pretended()
    print(json.dumps({named(case): outcome(case, device) for case in [*CASES, WAITS]}))
