"""A user's mistake is one line: what is wrong, what was given, what is allowed, the nearest spelling."""

import difflib
import errno
import re
from collections.abc import Iterable


class UserError(Exception):
    """A mistake in what was asked for. The command shows its message alone and exits with code 2."""


DISK = {errno.EACCES, errno.EDQUOT, errno.ENAMETOOLONG, errno.ENOSPC, errno.ENOTDIR, errno.EPERM, errno.EROFS}


MEMORY = re.compile("allocate memory|out of memory|calculation overflowed", re.I)


def of_machine(error: BaseException) -> BaseException:
    """A UserError where the disk or the memory of the machine is what failed; any other fault as it is."""
    if isinstance(error, OSError) and error.errno in DISK:
        return UserError(f"{error.filename or 'a file of the run'} cannot be written ({error.strerror})")
    if isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and MEMORY.search(str(error))):
        return UserError(f"there is not enough memory for what was asked ({(str(error).splitlines() or [''])[0]})")
    return error


def require(condition: bool, message: str) -> None:
    """Raise UserError with `message` unless `condition` holds."""
    if not condition:
        raise UserError(message)


def nearest(word: str, allowed: Iterable[str]) -> str:
    """The end of an error line: what is allowed, and the closest spelling to `word` if one is close."""
    allowed = sorted(str(a) for a in allowed)
    close = difflib.get_close_matches(word, allowed, n=1, cutoff=0.5)
    hint = f"; did you mean '{close[0]}'?" if close else ""
    return f"allowed: {', '.join(allowed)}{hint}"
