"""What a part is handed is read by others after it: it may not be written to."""

import contextlib
from collections.abc import Iterator

from torch import Tensor

from ssvae_cli.errors import PartError


def versions(value: object) -> tuple[int, ...]:
    """How often each tensor of a value, one or a tuple of such values, has been written to; 0 if not counted."""
    if isinstance(value, tuple):
        return sum(map(versions, value), ())
    return (0 if value.is_inference() else value._version,) if isinstance(value, Tensor) else ()


@contextlib.contextmanager
def read_only(part: str, **handed: Tensor | None) -> Iterator[None]:
    """Raise PartError, naming the part, where one of these tensors has been written to, by its name."""
    before = {name: versions(value) for name, value in handed.items()}
    yield
    for name, value in handed.items():
        if versions(value) != before[name]:
            raise PartError(f"{part} writes into {name}, which others read after it; compute on {name}.clone()")
