"""What all calls from Python share: one runs at a time, and a mistake is an InputError."""

import contextlib
import threading
from collections.abc import Iterator

from ssvae_cli.errors import as_input_error

_LOCK = threading.RLock()


@contextlib.contextmanager
def call() -> Iterator[None]:
    """Inside, other threads wait: torch's default dtype, its random generators and Hydra belong to all of them."""
    with _LOCK, as_input_error():
        yield
