"""Numbers, as Python code has them, as arrays and tensors."""

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ssvae_cli.device import floats
from ssvae_cli.errors import agreeing, counted, first_line, require


def as_tensor(x: Any, name: str = "x") -> Tensor:
    """Numbers as a tensor. Raises UserError for anything else."""
    if isinstance(x, Tensor):
        require(not x.is_complex(), f"{name} is {x.dtype}; numbers are taken. Complex data not supported")
        require(x.layout is torch.strided, f"{name} is a sparse tensor; give {name}.to_dense()")
        require(
            not x.is_nested, f"{name} is a nested tensor; only series, [T, D] of dataset=sequences, differ in length"
        )
        require(not x.is_meta, f"{name} is a tensor on the meta device, which holds no numbers")
        return x.detach()
    array = as_array(x, name)
    with warnings.catch_warnings():  # of a read-only array, as np.load(mmap_mode="r") gives; nothing writes into it
        warnings.filterwarnings("ignore", "The given NumPy array is not writable")
        return torch.from_numpy(array)


def as_array(x: Any, name: str) -> np.ndarray:
    """Numbers as an array of integers, floats, or true and false. Raises UserError for anything else."""
    if isinstance(x, Tensor):
        x = as_tensor(x, name).cpu()
        x = x.float() if x.dtype == torch.bfloat16 else x
    require(not hasattr(x, "toarray"), f"{name} is sparse, {type(x).__name__}; give {name}.toarray()")
    cells = f"{name} is an AnnData; give {name}.to_df(), its X with the names of the genes"
    require(not (hasattr(x, "obs_names") and hasattr(x, "to_df")), cells)
    indexed = hasattr(x, "__getitem__") and not hasattr(x, "__array__") and not isinstance(x, (Sequence, memoryview))
    kinds = "an array, a tensor, a DataFrame or a list of numbers"
    require(not indexed, f"{name} is a {type(x).__name__}; give {kinds}")  # numpy would index it without an end
    require(not np.ma.is_masked(x), f"{name} has masked values; leave these samples out, or fill the values")
    try:
        array = np.asarray(x)
        array = array.astype(np.float64) if array.dtype.kind == "O" else array
    except (TypeError, ValueError) as error:
        reason = first_line(error)
        if "inhomogeneous" in reason:  # numpy's word
            reason = "its parts differ in shape; only series, [T, D] of dataset=sequences, may differ, in T"
        if "NAType" in reason:  # pandas's
            reason = "it has missing values, NA; leave these samples out, or fill the values"
        require(False, f"{name} is no array of numbers ({reason})")
    words = array.dtype.kind in "SU"
    require(not words or array.ndim == 0, f"{name} holds words, {array.dtype}; numbers are taken")
    require(array.ndim > 0, f"{name} is a {type(x).__name__}; numbers are taken")
    complex_ = ". Complex data not supported" if array.dtype.kind == "c" else ""
    require(array.dtype.kind in "fiub", f"{name} is {array.dtype}; numbers are taken{complex_}")
    native = np.float64 if array.dtype.itemsize > 8 else array.dtype.newbyteorder("=")
    return np.ascontiguousarray(array, native)


def finite_floats(x: Tensor) -> Tensor:
    """x in the process's floats. Raises UserError for NaN, infinity and what these cannot hold."""
    bad = int((~x.isfinite()).sum())
    require(bad == 0, f"x has {counted(bad, 'value')} that {agreeing(bad, 'is', 'are')} NaN or infinite")
    beyond = int((~floats(x).isfinite()).sum())
    limit = f"beyond the run's floats, {torch.get_default_dtype()}"
    require(beyond == 0, f"x has {counted(beyond, 'value')} {limit}; rescale it")
    return floats(x)
