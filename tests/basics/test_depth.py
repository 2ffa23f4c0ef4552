"""What depth a call has."""

import sys

import pytest

from worker.basics.depth import with_a_whole_stack


def levels_above() -> int:
    frame, levels = sys._getframe(), 0
    while frame.f_back is not None:
        frame, levels = frame.f_back, levels + 1
    return levels


def test_a_call_with_a_whole_stack_stands_on_nobodys_shoulders() -> None:
    def deeper(levels: int) -> int:
        return deeper(levels - 1) if levels else with_a_whole_stack(levels_above)

    assert deeper(0) == deeper(300) < 10


def test_its_arguments_and_what_it_raises_pass() -> None:
    assert with_a_whole_stack(int, "11", base=2) == 3
    with pytest.raises(ZeroDivisionError):
        with_a_whole_stack(divmod, 1, 0)
