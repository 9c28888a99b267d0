"""How much memory there is, and how much was used."""

import os
import resource
import sys

import torch


def capacity(device: torch.device) -> int:
    """Bytes: the GPU's, or the machine's."""
    if device.type == "cuda":
        return torch.cuda.get_device_properties(device).total_memory
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def peak(device: torch.device) -> int:
    """Bytes: the most that tensors held on the GPU, or that this process held at all, since it began."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    unit = 1 if sys.platform == "darwin" else 1024  # of ru_maxrss
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
