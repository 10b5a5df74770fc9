"""Keeps pydicom quiet: what it logs and warns of quotes headers."""

import contextlib
import logging
import threading
import warnings
from collections.abc import Iterator

_lock = threading.Lock()
_readers = 0
_before = contextlib.ExitStack()


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """No message of pydicom and no warning reaches the terminal, as long as anyone is inside, in any thread.

    The filters of `warnings` belong to the process, so the first one in sets them and the last one out sets
    them back: each for itself, a thread that leaves would let the others' warnings through.
    """
    global _readers
    with _lock:
        if not _readers:
            logger = logging.getLogger("pydicom")
            _before.callback(logger.setLevel, logger.level)
            logger.setLevel(logging.CRITICAL + 1)
            _before.enter_context(warnings.catch_warnings())
            warnings.simplefilter("ignore")
        _readers += 1
    try:
        yield
    finally:
        with _lock:
            _readers -= 1
            if not _readers:
                _before.close()
