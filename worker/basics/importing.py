"""Modules that are imported when they are first needed."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock


class _Pause:
    """Of Python's garbage collector, which all threads share: it ends with the last of those who asked for it."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._asking = 0
        self._was_on = False

    def begin(self) -> None:
        with self._lock:
            if not self._asking:
                self._was_on = gc.isenabled()
                gc.disable()
            self._asking += 1

    def end(self) -> None:
        with self._lock:
            self._asking -= 1
            if not self._asking and self._was_on:
                gc.enable()


_pause = _Pause()


@contextmanager
def importing() -> Iterator[None]:
    """For an import in a thread, or of much: nothing is collected meanwhile.

    In a thread, Python 3.11's import lock raises KeyError when the collector, in the middle of an import, runs a
    finalizer that imports as well, as each that warns does (CPython gh-91351, mended in 3.12).
    """
    _pause.begin()
    try:
        yield
    finally:
        _pause.end()
