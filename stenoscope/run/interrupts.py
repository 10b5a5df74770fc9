"""Ctrl-C at any moment ends a script in one sentence: `install` is the first thing that each script does.

Only the main script calls it: whoever imports the package keeps Python's own handling.
"""

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

TEXT = "Interrupted. Nothing is half-written: run the same command again to continue."
STATUS = 130
_working = _asked = False


def install() -> None:
    """Handle SIGINT from now on; where it is ignored (in a shell's background) it stays ignored."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _handle)
        sys.unraisablehook = _deliver_again
        sys.warnoptions.append("ignore:resource_tracker")  # its process removes semaphores and would say so


@contextmanager
def working() -> Iterator[None]:
    """While it lasts, the first interrupt is a `KeyboardInterrupt`, so that locks and processes are cleared.

    Before, after, and at the second one the process ends at once.
    """
    global _working
    _working = True
    try:
        yield
    finally:
        _working = False


def asked() -> bool:
    """Whether an interrupt came: libraries may have made another exception of it."""
    return _asked


@contextmanager
def held_back() -> Iterator[None]:
    """Processes that are started inside never get an interrupt: the one that started them decides."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _handle(*_) -> None:
    global _asked
    if _working and not _asked:
        _asked = True
        raise KeyboardInterrupt
    if not _asked or _working:
        os.write(2, f"{TEXT}\n".encode())
    os._exit(STATUS)  # no clean-up that could be interrupted again; what is on disk is whole at any time


def _deliver_again(problem) -> None:
    """An interrupt inside a callback or a destructor would be printed and forgotten."""
    if isinstance(problem.exc_value, KeyboardInterrupt):
        global _asked
        _asked = False
        threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGINT)).start()
    else:
        sys.__unraisablehook__(problem)
