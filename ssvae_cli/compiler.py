"""torch.compile, and the marks that it reads; torch's compiler, 2 s to import, is imported when something is compiled.

torch imports it for a mark on a function, and for the first update of an optimizer, whose step is marked."""

import functools
import inspect
from collections.abc import Callable

import torch
from torch import Tensor
from torch.optim import Optimizer

from ssvae_cli.errors import UserError, first_line, in_yaml

MARKED = ("add_param_group", "load_state_dict", "state_dict", "step", "zero_grad")  # of torch's optimizers

_marks: list[Callable[[], None]] = []


def marked(mark: str) -> Callable[[Callable], Callable]:
    """The decorator torch.compiler.<mark>, applied when something is first compiled."""

    def decorator(function: Callable) -> Callable:
        call = function

        def apply() -> None:
            nonlocal call
            call = getattr(torch.compiler, mark)(function)

        @functools.wraps(function)
        def either(*args, **kwargs):
            return call(*args, **kwargs)

        _marks.append(apply)
        return either

    return decorator


def compiled(part: Callable, compile: bool | str) -> Callable:
    """`part` through torch.compile, in its mode `compile` or, where that is true, its default; false: as it is."""
    if not compile:
        return part
    while _marks:
        _marks.pop()()
    from torch._inductor import config as inductor

    torch._dynamo.config.allow_rnn = True  # GRUs are unrolled into the graph
    inductor.fallback_random = True  # posterior samples and dropout are those of a run that is not compiled
    return torch.compile(part, mode="default" if compile is True else compile)


def require_compiler(compile: bool | str, device: torch.device) -> None:
    """Raise UserError unless torch's compiler works on this machine: it writes C++, or Triton for a GPU, and has other
    programs make machine code of it. Takes seconds where its cache on disk is empty; what follows then finds a part."""
    try:
        compiled(_tried, True)(torch.ones(2, device=device))
    except RuntimeError as error:
        inner = getattr(error, "inner_exception", error)  # torch's own begins with the name of its backend
        reason = next((line for line in str(inner).splitlines() if "error: " in line), first_line(inner)).strip()
        fault = f"compile={in_yaml(compile)}: torch's compiler does not work here ({reason})"
        raise UserError(f"{fault}; install g++, or set CXX to another, or give compile=false") from error


def _tried(x: Tensor) -> Tensor:
    return x + 1


@functools.cache
def unmarked(kind: type[Optimizer]) -> type[Optimizer]:
    """A kind of optimizer without marks: nothing here compiles an update."""
    plain = {name: inspect.unwrap(getattr(kind, name)) for name in MARKED}
    return type(kind.__name__, (kind,), plain | {"step": torch.no_grad()(plain["step"])})
