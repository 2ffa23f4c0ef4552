"""Calls from deep in the stack, of which Python 3.11 takes what a parser may nest."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def from_deeper(levels: int, call: Callable[[], T]) -> T:
    """What the call returns, made by so many callers on top of this one."""
    return from_deeper(levels - 1, call) if levels else call()
