"""What all calls from Python share: one runs at a time, and a mistake is an InputError."""

import contextlib
import threading
from collections.abc import Iterator

import torch

from ssvae_cli.errors import as_input_error

_LOCK = threading.RLock()


@contextlib.contextmanager
def call() -> Iterator[None]:
    """Inside, other threads wait: torch's default dtype, its random generators and Hydra belong to all of them."""
    with _LOCK, as_input_error(), _usual_modes():
        yield


@contextlib.contextmanager
def _usual_modes() -> Iterator[None]:
    """Inside, gradients flow and new tensors are on the CPU, whatever the program set for itself."""
    moved = torch.get_default_device().type != "cpu"
    with torch.inference_mode(False), torch.enable_grad(), torch.device("cpu") if moved else contextlib.nullcontext():
        yield
