"""What is remembered of deliveries that have ended, and that it takes no more memory later than at first."""

import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.ordered.deciding.recent import Recent


@given(ids=st.lists(st.text(max_size=3)), most=st.integers(1, 12))
def test_the_last_half_is_remembered_and_nothing_that_did_not_end(ids: list[str], most: int) -> None:
    recent = Recent(most)
    for one in ids:
        recent.add(one)
    different = list(dict.fromkeys(reversed(ids)))
    assert all(one in recent for one in different[: max(1, most // 2) + 1])
    assert not any(f"{one}, another" in recent for one in ids)
    assert len(recent) <= 2 * max(1, most // 2)


class Hashed(str):
    """A text whose hash is chosen."""

    __slots__ = ("value",)
    value: int

    def __hash__(self) -> int:
        return self.value

    __eq__ = str.__eq__


def hashed(value: int) -> Hashed:
    text = Hashed(value)
    text.value = value
    return text


@pytest.mark.parametrize("first", [0, 1, 31, 2**62, -(2**62)])
def test_hashes_that_share_a_place_are_told_apart(first: int) -> None:
    """Also where the table ends: the search goes on at its beginning."""
    recent = Recent(20)
    those = [hashed(first + n * 2**10) for n in range(6)]
    for one in those[:5]:
        recent.add(one)
    assert [one in recent for one in those] == [True] * 5 + [False]


def test_memory_does_not_grow() -> None:
    recent = Recent(1000)
    for n in range(1000):
        recent.add(f"first {n}")
    tracemalloc.start()
    try:
        for n in range(20_000):
            recent.add(f"then {n}")
        grown, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(recent) == 1000
    assert grown < 2 * 8 * 2048 + 4096
