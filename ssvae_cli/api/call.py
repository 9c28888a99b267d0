"""What all calls from Python share: one runs at a time, and a mistake is an InputError."""

import contextlib
import threading
from collections.abc import Iterator

import torch

from ssvae_cli.device import in_precision
from ssvae_cli.errors import as_input_error

_LOCK = threading.RLock()


@contextlib.contextmanager
def call() -> Iterator[None]:
    """Inside, other threads wait: torch's default dtype, its random generators and Hydra belong to all of them."""
    with _LOCK, as_input_error(), _usual_modes():
        yield


@contextlib.contextmanager
def _usual_modes() -> Iterator[None]:
    """Inside, gradients flow, floats are float32 without autocast, and new tensors are on the CPU, whatever the program
    set for itself."""
    with contextlib.ExitStack() as stack:
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.enable_grad())
        stack.enter_context(in_precision("float32"))
        for device in ("cpu", "cuda"):
            stack.enter_context(torch.autocast(device, enabled=False))
        if torch.get_default_device().type != "cpu":
            stack.enter_context(torch.device("cpu"))
        yield
