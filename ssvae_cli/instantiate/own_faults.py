"""Exceptions that a user's own part raised while it ran, or that come of calling it as the program does; and what it
changes for all others."""

import contextlib
import inspect
import pkgutil
import sys
import traceback
from collections.abc import Iterator

from omegaconf import DictConfig, OmegaConf

from ssvae_cli.errors import PartError, said
from ssvae_cli.instantiate.trust import LAYERS, targets


def own_fault(error: BaseException, config: DictConfig) -> PartError | None:
    """A line that names the part, by its key in the configuration, and what it raised; None where no part is known to
    be at fault: neither its file nor a method that it inherits raised, nor did the call of one."""
    frames = [(frame, frame.f_code.co_filename, line) for frame, line in traceback.walk_tb(error.__traceback__)]
    lines = {file: line for _, file, line in frames}
    ours = [place for place in frames if place[0].f_globals.get("__name__", "").startswith("ssvae_cli.")]
    inherited = {type(frame.f_locals.get("self")): file for frame, file, _ in ours[-1:]}
    for key, target in targets(OmegaConf.to_container(config)):
        if target.startswith(("ssvae_cli.", *LAYERS)):
            continue
        try:
            part = pkgutil.resolve_name(target)
            file = inspect.getsourcefile(part)
            file = file if file in lines else inherited.get(part)
        except Exception:  # what was never built, or is no Python
            continue
        called = isinstance(error, TypeError) and str(error).startswith(f"{part.__qualname__}.")
        if file or called:
            where = f" in line {lines[file]} of {file}" if file else ""
            return PartError(f"{key.removesuffix('._target_')}: {target} raised {said(error)}{where}")
    return None


@contextlib.contextmanager
def same_floats(part: str) -> Iterator[None]:
    """torch's default dtype is afterwards as it was. Raises PartError, naming the part, where it was changed inside."""
    torch = sys.modules.get("torch")  # which is slow to load
    before = torch and torch.get_default_dtype()
    try:
        yield
    finally:
        changed = torch and torch.get_default_dtype() != before
        if changed:
            torch.set_default_dtype(before)
    if changed:
        raise PartError(f"{part} sets torch's default dtype, which is of the whole run; leave it to trainer.precision")
