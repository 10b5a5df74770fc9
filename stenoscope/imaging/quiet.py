"""Keeps pydicom quiet: what it logs and warns of quotes headers."""

import contextlib
import logging
import threading
import warnings
from collections.abc import Iterator

import pydicom.pixels  # noqa: F401  # makes the loggers


class _Readers(threading.local):
    """How many blocks of `quiet` the present thread is in; a filter of warnings and of log records."""

    depth = 0

    def match(self, text: str) -> bool:
        """Whether a warning is to be ignored; `warnings` asks this of a compiled expression."""
        return self.depth > 0

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether a record is to be logged."""
        return self.depth == 0


_readers = _Readers()
_IGNORE = ("ignore", _readers, Warning, None, 0)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """No warning and no message of pydicom that this thread makes reaches the terminal; others' do.

    The filters of `warnings` and `logging` belong to the process. Those set here stay there, look at the
    thread that asks, and let everything pass outside.
    """
    if not warnings.filters or warnings.filters[0] is not _IGNORE:  # somebody has set others before it
        warnings.filters[:] = [_IGNORE, *(entry for entry in warnings.filters if entry is not _IGNORE)]
    for name in list(logging.root.manager.loggerDict):
        if name.partition(".")[0] == "pydicom":
            logging.getLogger(name).addFilter(_readers)  # no second time
    _readers.depth += 1
    try:
        yield
    finally:
        _readers.depth -= 1
