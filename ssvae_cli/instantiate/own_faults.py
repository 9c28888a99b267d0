"""Exceptions that a user's own part raised while it ran, or that come of calling it as the program does."""

import inspect
import pkgutil
import traceback

from omegaconf import DictConfig, OmegaConf

from ssvae_cli.errors import PartError
from ssvae_cli.instantiate.trust import LAYERS, targets


def own_fault(error: Exception, config: DictConfig) -> PartError | None:
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
            said = f"{type(error).__name__}: {' '.join(str(error).split()) or 'no reason given'}"
            where = f" in line {lines[file]} of {file}" if file else ""
            return PartError(f"{key.removesuffix('._target_')}: {target} raised {said}{where}")
    return None
