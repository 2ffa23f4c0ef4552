import asyncio

import pytest

from worker.basics.next_turn import NextTurn


async def test_what_comes_in_one_turn_is_handed_on_in_the_next_in_order() -> None:
    said: list[str] = []
    later = NextTurn[str](said.append)
    asyncio.get_running_loop().call_soon(said.append, "before")
    later.add("a")
    later.add("b")
    asyncio.get_running_loop().call_soon(said.append, "after")
    assert said == []
    await asyncio.sleep(0)
    assert said == ["before", "a", "b", "after"]
    later.add("c")
    await asyncio.sleep(0)
    assert said[4:] == ["c"]


async def test_what_is_added_meanwhile_waits_for_the_next_turn() -> None:
    said: list[int] = []

    def handle(number: int) -> None:
        said.append(number)
        if number < 3:
            later.add(number + 1)

    later = NextTurn[int](handle)
    later.add(1)
    for expected in ([1], [1, 2], [1, 2, 3]):
        await asyncio.sleep(0)
        assert said == expected


async def test_flushed_it_is_handed_on_at_once_and_only_once() -> None:
    said: list[int] = []
    later = NextTurn[int](said.append)
    later.add(1)
    later.flush()
    assert said == [1]
    later.add(2)
    for _ in range(3):
        await asyncio.sleep(0)
    assert said == [1, 2]


async def test_when_all_have_been_handed_on_the_row_ends() -> None:
    said: list[str] = []

    def handle(item: str) -> None:
        said.append(item)
        if item == "fault":
            raise ZeroDivisionError("ours")

    later = NextTurn[str](handle, lambda: said.append("end"))
    later.add("a")
    later.add("fault")
    await asyncio.sleep(0)
    assert said == ["a", "fault", "end"]
    later.add("b")
    later.flush()
    assert said[3:] == ["b", "end"]


async def test_a_fault_of_one_keeps_no_other_from_being_handed_on(caplog: pytest.LogCaptureFixture) -> None:
    said: list[float] = []
    later = NextTurn[int](lambda number: said.append(1 / number))
    later.add(0)
    later.add(2)
    await asyncio.sleep(0)
    assert said == [0.5]
    assert "ZeroDivisionError" in caplog.text
