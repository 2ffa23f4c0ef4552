"""Imports in threads, with the collector at its busiest."""

import gc
import sys
from importlib import import_module
from threading import Event, Thread
from typing import ClassVar

import pytest

from worker.basics.importing import importing


class Cycle:
    """Garbage that only the collector finds; its end imports, as each warning does."""

    ended: ClassVar[list[int]] = []

    def __init__(self) -> None:
        self.me = self

    def __del__(self) -> None:
        self.ended.append(1)
        sys.modules.pop("colorsys", None)
        import_module("colorsys")


def test_nothing_is_collected_while_a_module_is_imported() -> None:
    Cycle.ended.clear()
    thresholds = gc.get_threshold()
    gc.set_threshold(1)
    try:
        with importing():
            Cycle()
            many = [[index] for index in range(1000)]
            assert not Cycle.ended, len(many)
        many = [[index] for index in range(1000)]
        assert Cycle.ended, len(many)
    finally:
        gc.set_threshold(*thresholds)


def test_the_last_of_several_threads_lets_it_collect_again() -> None:
    inside, leave = Event(), Event()

    def importer() -> None:
        with importing():
            inside.set()
            leave.wait(10)

    thread = Thread(target=importer)
    thread.start()
    assert inside.wait(10)
    with importing():
        pass
    assert not gc.isenabled()
    leave.set()
    thread.join()
    assert gc.isenabled()


def test_a_failing_import_lets_it_collect_again() -> None:
    with pytest.raises(ImportError), importing():
        import_module("no_such_module_of_ours")
    assert gc.isenabled()


def test_a_collector_that_was_off_stays_off() -> None:
    gc.disable()
    try:
        with importing():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()
