"""What a process computes on and in: the device, its memory, and its floats.

The floats are torch's default dtype, float32 unless a run asks for float64: parameters are built in it, so that none is
a rounded float32, and data are read in it."""

import contextlib
import ctypes
import os
import resource
import sys
from collections.abc import Iterator
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from ssvae_cli.errors import require, require_device

Precision = Literal["float32", "float64", "bf16", "auto"]
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_MMAP_MAX = -1, -3, -4  # of glibc's mallopt(3)
MIB = 2**20


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


def keep_freed(device: torch.device) -> None:
    """Let the C library keep what tensors on a CPU free, where it is glibc, so that the next step has it again.

    Otherwise it gives tensors above 32 MiB back to the system at once, which clears every page of them anew."""
    if device.type == "cpu" and (libc := _glibc()):
        libc.mallopt(M_MMAP_MAX, 0)
        libc.mallopt(M_TRIM_THRESHOLD, -1)


def give_freed_back() -> None:
    """Undo `keep_freed`, for a program that goes on with something else: the C library then does what it does once
    tensors of 32 MiB were freed."""
    if libc := _glibc():
        for option, value in ((M_MMAP_MAX, 65536), (M_MMAP_THRESHOLD, 32 * MIB), (M_TRIM_THRESHOLD, 64 * MIB)):
            libc.mallopt(option, value)
        libc.malloc_trim(0)


def _glibc() -> ctypes.CDLL | None:
    """The C library, where it is glibc."""
    libc = ctypes.CDLL(None) if sys.platform == "linux" else None
    return libc if hasattr(libc, "gnu_get_libc_version") else None


def device_of(name: str) -> torch.device:
    """auto (a GPU where there is one), cpu or cuda, as torch knows it. Raises UserError for a GPU that is not there."""
    available = torch.cuda.is_available()
    require_device(name)
    require(name != "cuda" or available, "device=cuda, but no GPU was found; allowed here: auto, cpu")
    if not available or name == "cpu":
        return torch.device("cpu")
    place, gpus = os.environ.get("LOCAL_RANK", "").strip(), torch.cuda.device_count()
    if not place.isdecimal():  # else it is torchrun's: a GPU a process
        return torch.device("cuda", torch.cuda.current_device())  # a job of a sweep has been given its own
    fault = f"LOCAL_RANK={place}: torchrun's --nproc-per-node is above the {gpus} GPUs of this machine"
    require(int(place) < gpus, f"{fault}; allowed: 1 to {gpus}")
    return torch.device("cuda", int(place))


def device_name(device: torch.device) -> str:
    """cpu, or the GPU's name."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"


def set_precision(precision: Precision) -> None:
    """Make float64, or for any other choice float32, the floats of this process; bf16 is for encoders alone."""
    torch.set_default_dtype(torch.float64 if precision == "float64" else torch.float32)


@contextlib.contextmanager
def in_precision(precision: Precision) -> Iterator[None]:
    """Inside, the floats of this process are those of `set_precision`; afterwards what they were."""
    before = torch.get_default_dtype()
    set_precision(precision)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def floats(x: Tensor) -> Tensor:
    """x in the process's floats."""
    return x.to(torch.get_default_dtype())


def dtype_name(x: torch.dtype | Tensor) -> str:
    """float32 of torch.float32, or of a tensor of it, for error lines."""
    return str(x.dtype if isinstance(x, Tensor) else x).removeprefix("torch.")


def array_type() -> np.dtype:
    """The process's floats, as numpy names them."""
    return torch.empty(0).numpy().dtype


def full_precision(z: Tensor) -> Tensor:
    """Half precision in the process's floats; float32 and float64 unchanged."""
    return floats(z) if z.dtype in (torch.float16, torch.bfloat16) else z
