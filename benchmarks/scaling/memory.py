"""Peaks of memory by arithmetic, and by the allocations of a step on fake tensors, which compute nothing.

The fake run counts every tensor that lives at once; a GPU adds its libraries' workspaces and what its allocator rounds.

usage: memory.py OUT.json
"""

import json
import sys
import weakref
from pathlib import Path

import torch
from hydra import compose, initialize_config_dir
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from ssvae_cli.critics import Cosine
from ssvae_cli.estimators import InfoNCE
from ssvae_cli.instantiate.build import build
from ssvae_cli.objective import make_objective
from ssvae_cli.scores import in_batch_scores, tile_sums

CONF, MIB = Path(__file__).parents[2].absolute() / "conf", 2**20
LATENT, TILE = 128, 8192  # of a GPU's tiles


class Allocations(TorchDispatchMode):
    """Counts the bytes of all tensors that live, those given at the start among them."""

    def __init__(self, *given: torch.Tensor):
        super().__init__()
        self.live, self.now, self.peak = set(), 0, 0
        self._count(given)

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        made = function(*args, **(kwargs or {}))
        self._count(tree_leaves(made))
        return made

    def _count(self, tensors) -> None:
        for storage in (t.untyped_storage() for t in tensors if isinstance(t, torch.Tensor)):
            if (key := storage._cdata) not in self.live:
                self.live.add(key)
                self.now += storage.nbytes()
                self.peak = max(self.peak, self.now)
                weakref.finalize(storage, self._freed, key, storage.nbytes())

    def _freed(self, key: int, size: int) -> None:
        self.live.discard(key)
        self.now -= size


def step(pairs: int, *overrides: str) -> float:
    """The peak of a training step on pairs of 32x32 photographs that are there: encoders, objective, update."""
    with initialize_config_dir(str(CONF), version_base="1.3"):
        words = ["dataset=sprites", "encoder=resnet18", "trainer.precision=bf16", "trainer.device=cpu", *overrides]
        cfg = compose("train", words)
    objective = make_objective(cfg, (3, 32, 32), (3, 32, 32)).train()
    with FakeTensorMode():
        for module in objective.modules():  # the same shapes, without numbers
            for name, parameter in module._parameters.items():
                if parameter is not None:
                    module._parameters[name] = torch.nn.Parameter(torch.empty(parameter.shape), parameter.requires_grad)
            for name, buffer in module._buffers.items():
                module._buffers[name] = None if buffer is None else torch.empty(buffer.shape, dtype=buffer.dtype)
        optimization = build(cfg.optimizer, "optimizer").attach([objective], 10)
        views = [torch.empty(pairs, 3, 32, 32).contiguous(memory_format=torch.channels_last) for _ in range(2)]
        with Allocations(*objective.parameters(), *objective.buffers(), *views) as allocated:
            for number in range(2):  # the first makes the optimizer's state
                (-objective(*views)).backward()
                optimization.step(number)
    return allocated.peak / MIB


def step_by_arithmetic(pairs: int) -> float:
    """Of each convolution the input and the output, in bf16, which the backward pass needs; of each parameter float32
    weight, gradient and AdamW's two averages, and a bf16 copy; the views."""
    maps = 5 * sum(channels * side**2 for channels, side in ((64, 32), (128, 16), (256, 8), (512, 4)))
    parameters = 11_168_832 + 512 * 512 + 512 * LATENT
    return (2 * pairs * (2 * 2 * maps + 4 * 3 * 32**2) + parameters * (4 * 4 + 2)) / MIB


def objective(pairs: int) -> float:
    """The peak of value and gradient of the symmetric InfoNCE objective, from latents on."""
    tile_sums.SIDE["cpu"] = TILE
    with FakeTensorMode():
        latents = [torch.empty(pairs, LATENT, requires_grad=True) for _ in range(2)]
        with Allocations(*latents) as allocated:
            scores = in_batch_scores(Cosine(temperature=0.1), *latents, "both")
            (sum(InfoNCE()(scored) for scored in scores) / 2).backward()
    return allocated.peak / MIB


def objective_by_arithmetic(pairs: int) -> float:
    """Latents, factors and the gradients of both, [B, D] each and of both sides; four tiles."""
    return (2 * 4 * 4 * pairs * LATENT + 4 * 4 * min(TILE, pairs) ** 2) / MIB


def main(out: str) -> None:
    rows = [
        {"what": f"resnet18, {pairs} pairs, bf16", "arithmetic": step_by_arithmetic(pairs), "fake run": step(pairs)}
        for pairs in (128, 512)
    ]
    rows += [
        {"what": f"objective, B = {b:,}", "arithmetic": objective_by_arithmetic(b), "fake run": objective(b)}
        for b in (32_768, 262_144)
    ]
    for row in rows:
        print(row, flush=True)
    Path(out).write_text(json.dumps({"torch": torch.__version__, "MiB": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
