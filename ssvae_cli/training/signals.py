"""SIGINT and SIGTERM between two training steps: the run saves what it has and leaves, to be resumed.

The exit code is 128 + the signal's number, as a shell has it: 130 for Ctrl-C, 143 for SIGTERM.
"""

import signal
import threading

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stopped(BaseException):
    """The run was asked to leave; no fault, so that nothing on the way catches it. goes_on: the command that does."""

    def __init__(self, number: int, goes_on: str | None = None):
        told = f"; {goes_on} goes on" if goes_on else ""
        super().__init__(f"stopped by {signal.Signals(number).name}{told}")
        self.number, self.exit_code = number, 128 + number


def leave(number: int, frame=None) -> None:
    """The handler where there is nothing to save first."""
    raise Stopped(number)


class SafePoint:
    """Within it a first signal is noted, `asked`, for the next safe point; a second one leaves at once."""

    def __init__(self):
        self.asked: int | None = None

    def __enter__(self) -> "SafePoint":
        here = threading.current_thread() is threading.main_thread()  # Python hands signals to no other
        self._before = {number: signal.signal(number, self._note) for number in SIGNALS if here}
        return self

    def __exit__(self, *exception) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def leave(self) -> None:
        """Nothing is half done here, and what there is has been saved."""
        raise Stopped(self.asked)

    def _note(self, number: int, frame) -> None:
        if self.asked is not None:
            raise Stopped(number)
        self.asked = number
