"""SIGINT and SIGTERM between two training steps: the run saves its state and exits, to be resumed.

The exit code is 128 + the signal's number, as in a shell: 130 for Ctrl-C, 143 for SIGTERM."""

import signal
import threading

from ssvae_cli.distributed.launch import is_worker

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stopped(BaseException):
    """The run was asked to stop; no Exception, so that nothing catches it. goes_on: the command that continues."""

    def __init__(self, number: int, goes_on: str | None = None):
        hint = f"; {goes_on} goes on" if goes_on else ""
        super().__init__(f"stopped by {signal.Signals(number).name}{hint}")
        self.number, self.exit_code = number, 128 + number


class Leave:
    """The handler for when there is nothing to save: it stops at once.

    What a handler raises inside C code can be lost there, or come out as another error: an extension that was being
    imported then "failed to initialise". So the number is kept in `asked`, and `again` raises anew."""

    def __init__(self):
        self.asked: int | None = None

    def __call__(self, number: int, frame=None) -> None:
        self.asked = number
        raise Stopped(number)

    def again(self) -> None:
        """Raise Stopped if a signal has come."""
        if self.asked is not None:
            raise Stopped(self.asked) from None


leave = Leave()


class SafePoint:
    """A context in which a first signal is noted, `asked`, for the next safe point; a second one stops at once."""

    def __init__(self):
        self.asked: int | None = None

    def __enter__(self) -> "SafePoint":
        leave.again()
        here = threading.current_thread() is threading.main_thread()  # Python delivers signals to no other
        self._before = {number: signal.signal(number, self._note) for number in SIGNALS if here}
        return self

    def __exit__(self, kind: type | None, *exception) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        if self.asked is not None and kind is not None and is_worker():  # rank zero has saved, and left it alone
            self.leave()

    def leave(self) -> None:
        """Stop here, where nothing is half done and the state has been saved."""
        raise Stopped(self.asked)

    def _note(self, number: int, frame) -> None:
        if self.asked is not None:
            raise Stopped(number)
        self.asked = number
