"""What a command computes on, in words."""

import torch

from ssvae_cli.device import device_name
from ssvae_cli.distributed.threads import described


def machine(device: torch.device) -> str:
    """The device, and the threads of this process, as a command says them when it begins."""
    return f"{device_name(device)}, {described(torch.get_num_threads())}"
