"""A user's mistake is one line: what is wrong, what was given, what is allowed, the nearest spelling."""

import contextlib
import difflib
import errno
import importlib.util
import math
import re
from collections.abc import Iterable, Iterator
from typing import Any


class UserError(Exception):
    """A mistake in what was asked for. The command shows its message alone and exits with its code."""

    exit_code = 2


class InputError(UserError, ValueError):
    """A mistake in what Python code gave: a ValueError too, as scikit-learn and its users expect."""


class PartError(UserError):
    """A user's own class or file broke its contract or raised; its traceback belongs in the run's log."""


class FolderGone(UserError):
    """The folder that a command writes to is not there any more; nothing is written in its place."""

    exit_code = 1


OURS = {  # what another program calls a value: its name here
    **dict.fromkeys(("bfloat16", "bf16-mixed", "fp16", "float16", "16-mixed", "16", "half", "mixed"), "bf16"),
    **dict.fromkeys(("fp32", "32", "single", "full"), "float32"),
    **dict.fromkeys(("fp64", "64", "double"), "float64"),
    "gpu": "cuda",
}
DISK = {errno.EACCES, errno.EDQUOT, errno.ENAMETOOLONG, errno.ENOSPC, errno.ENOTDIR, errno.EPERM, errno.EROFS}
MEMORY = re.compile("allocate memory|out of memory|calculation overflowed", re.I)


def machine_error(error: BaseException) -> BaseException:
    """A UserError where the disk or the memory of the machine is what failed; any other fault as it is."""
    if isinstance(error, OSError) and error.errno in DISK:
        return UserError(f"{error.filename or 'a file of the run'} cannot be written ({error.strerror})")
    if isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and MEMORY.search(str(error))):
        return UserError(f"there is not enough memory for what was asked ({first_line(error)})")
    return error


def cause_of(error: BaseException | None) -> UserError | None:
    """The UserError in a chain of exceptions, a fault of disk or memory included; None where there is none."""
    while error is not None:
        known = machine_error(error)
        if isinstance(known, UserError):
            return known
        error = error.__cause__ or error.__context__
    return None


def first_line(error: BaseException) -> str:
    """Of what an exception says, or of its type where it says nothing."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def said(error: BaseException) -> str:
    """An exception's type and all that it says, in one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split()) or 'no reason given'}"


def agreeing(count: int, one: str, several: str = "") -> str:
    """The word for so many: step, steps; class, classes; is, are. several: where it is not `one` with an s."""
    return one if count == 1 else several or f"{one}s"


def counted(count: int, one: str, several: str = "") -> str:
    """The number and its noun: 1 step, 2 steps."""
    return f"{count} {agreeing(count, one, several)}"


def require(condition: bool, message: str) -> None:
    """Raise UserError with `message` unless `condition` holds."""
    if not condition:
        raise UserError(message)


def require_at_least(limit: float, **settings: float) -> None:
    """Raise UserError naming the first of the settings that is below `limit`."""
    for name, value in settings.items():
        require(value >= limit, f"{name} must be at least {limit}, got {value}")


def require_above(limit: float, **settings: float) -> None:
    """Raise UserError naming the first of the settings that is not above `limit`."""
    for name, value in settings.items():
        require(value > limit, f"{name} must be above {limit}, got {value}")


def require_within(low: float, high: float, **settings: float) -> None:
    """Raise UserError naming the first of the settings that lies outside [low, high]."""
    for name, value in settings.items():
        require(low <= value <= high, f"{name} must lie in [{low}, {high}], got {value}")


def require_below_one(**settings: float) -> None:
    """Raise UserError naming the first of the settings that lies outside [0, 1)."""
    for name, value in settings.items():
        require(0 <= value < 1, f"{name} must lie in [0, 1), got {value}")


def in_yaml(value: Any) -> str:
    """A value as YAML writes it, for an error line."""
    words = {None: "null", True: "true", False: "false"}
    return words[value] if value is None or isinstance(value, bool) else repr(value)


def require_bool(**settings: object) -> None:
    """Raise UserError naming the first of the settings that is not true or false."""
    for name, value in settings.items():
        require(isinstance(value, bool), f"{name} must be true or false, got {in_yaml(value)}")


def require_integer(least: int, **settings: object) -> None:
    """Raise UserError naming the first of the settings that is no integer of at least `least`."""
    for name, value in settings.items():
        whole = isinstance(value, int) and not isinstance(value, bool) and least <= value < 2**63
        require(whole, f"{name} must be an integer of at least {least}, got {in_yaml(value)}")


def require_number(low: float, high: float, **settings: object) -> None:
    """Raise UserError naming the first of the settings that is no finite number in [low, high]."""
    for name, value in settings.items():
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
        limits = f"of at least {low}" if high == math.inf else f"from {low} to {high}"
        require(is_number and low <= value <= high, f"{name} must be a number {limits}, got {in_yaml(value)}")


def require_seed(seed: object) -> None:
    """Raise UserError unless `seed` is what every random generator here takes."""
    require_integer(0, seed=seed)


def require_device(device: object) -> None:
    """Raise UserError unless `device` is a word for one."""
    known = ("auto", "cpu", "cuda")
    hint = did_you_mean(str(device), known)
    require(device in known, f"device must be one of {', '.join(known)}, got {in_yaml(device)}{hint}")


def require_extra(extra: str, asked: str, *packages: str) -> None:
    """Raise UserError, with the command that installs them, unless all packages of an extra can be imported."""
    missing = [package for package in packages if importlib.util.find_spec(package) is None]
    needed = f"{asked} needs {', '.join(missing)} of the extra `{extra}`"
    require(not missing, f"{needed}: pip install 'ssvae[{extra}]'")


def nearest(word: str, choices: Iterable[str]) -> str | None:
    """The choice that has this name elsewhere, or whose spelling is close to `word`, whatever the case, if one is."""
    known = {choice.lower(): choice for choice in sorted(map(str, choices))}
    if (ours := OURS.get(word.lower())) in known:
        return known[ours]
    close = difflib.get_close_matches(word.lower(), known, n=1, cutoff=0.65)
    return known[close[0]] if close else None


def did_you_mean(word: str, choices: Iterable[str]) -> str:
    """'; did you mean 'X'?', or nothing where no choice is close."""
    close = nearest(word, choices)
    return f"; did you mean '{close}'?" if close else ""


def allowed(word: str, choices: Iterable[str]) -> str:
    """The end of an error line: what is allowed, and the closest spelling to `word` if one is close."""
    choices = sorted(set(map(str, choices)))
    return f"allowed: {', '.join(choices) or 'none'}{did_you_mean(word, choices)}"


@contextlib.contextmanager
def as_input_error() -> Iterator[None]:
    """Inside, a UserError is raised as an InputError; one of a user's own part stays what it is."""
    try:
        yield
    except (InputError, PartError):
        raise
    except UserError as error:
        raise InputError(str(error)) from error.__cause__


@contextlib.contextmanager
def setting_of(key: str, names: Iterable[str]) -> Iterator[None]:
    """Inside, a UserError that speaks of the settings `names` of a part gets the part's key in front of them.

    A part does not know where it stands in the configuration. It says 'std must be above 0, got -1', and under
    `pairs.noise` that reads 'pairs.noise.std must be above 0, got -1'. A setting is recognised as the first word, as
    `name=value`, and after give, lower or raise.
    """
    try:
        yield
    except UserError as error:
        setting = "|".join(map(re.escape, names)) or "(?!)"
        spoken_of = rf"(^|\b(?:give|lower|raise) |(?<![\w./])(?=\w+(?:\.\w+)*=))({setting})\b"
        raise type(error)(re.sub(spoken_of, rf"\1{key}.\2", str(error))) from error.__cause__
