"""stdout and stderr that lose what they cannot take: a closed one, a full disk. The work goes on to its exit code."""

import errno
import io
import os
import sys


class Lossy(io.FileIO):
    """A file whose failed writes are no error, but for a reader of stdout that has gone: that ends a command."""

    def write(self, data) -> int:
        """All of the data are taken, written or lost."""
        try:
            return super().write(data)
        except OSError as error:
            if error.errno == errno.EPIPE and self.fileno() == 1:
                raise
            return memoryview(data).nbytes


def open_streams() -> None:
    """Make stdout and stderr writable; what is written to a closed one is lost, and goes to no other file."""
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number, which is this one
    for number, name in ((1, "stdout"), (2, "stderr")):
        stream = getattr(sys, name)
        if stream is None or stream is getattr(sys, f"__{name}__"):  # and not a test's, or another program's
            raw = io.BufferedWriter(Lossy(number, "w", closefd=False))
            encoding, by_line = getattr(stream, "encoding", "utf-8"), number == 2 or os.isatty(number)
            setattr(sys, name, io.TextIOWrapper(raw, encoding, "backslashreplace", line_buffering=by_line))
