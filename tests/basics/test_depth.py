"""What depth a call has."""

import sys

import pytest

from tests.support.stack import from_deeper
from worker.basics.depth import with_a_whole_stack


def levels_above() -> int:
    frame, levels = sys._getframe(), 0
    while frame.f_back is not None:
        frame, levels = frame.f_back, levels + 1
    return levels


def test_a_call_with_a_whole_stack_stands_on_nobodys_shoulders() -> None:
    def levels_of_the_call() -> int:
        return with_a_whole_stack(levels_above)

    assert levels_of_the_call() == from_deeper(300, levels_of_the_call) < 10


def test_its_arguments_and_what_it_raises_pass() -> None:
    assert with_a_whole_stack(int, "11", base=2) == 3
    with pytest.raises(ZeroDivisionError):
        with_a_whole_stack(divmod, 1, 0)
