"""The memory of the newest event of a chat: bounded, and right for any order of takings."""

from worker.delivery.latest import Latest
from worker.domain.choosing.timely import LatestKey
from worker.domain.past import Past

KEY = LatestKey("PRESENCE_UPDATE", "a@g.us", "acme", "default")


def taken(number: int, first_seen: float | None = None) -> Past:
    return Past(f"event {number}", float(number) if first_seen is None else first_seen, "", "")


def test_each_new_one_supersedes_those_before() -> None:
    latest = Latest()
    for number in range(20):
        latest.taken(KEY, taken(number), new=True)
    assert [number for number in range(20) if not latest.superseded(KEY, taken(number))] == [19]


def test_two_of_one_moment_are_told_apart_by_their_order() -> None:
    latest = Latest()
    latest.taken(KEY, taken(1, 5.0), new=True)
    latest.taken(KEY, taken(2, 5.0), new=True)
    assert latest.superseded(KEY, taken(1, 5.0))
    assert not latest.superseded(KEY, taken(2, 5.0))


def test_one_that_comes_back_is_the_newest_by_its_own_time_alone() -> None:
    latest = Latest()
    latest.taken(KEY, taken(5), new=True)
    latest.taken(KEY, taken(4), new=False)
    assert latest.superseded(KEY, taken(4))
    latest.taken(KEY, taken(6), new=False)  # another replica took it first
    assert latest.superseded(KEY, taken(5))
    assert not latest.superseded(KEY, taken(6))


def test_keys_do_not_disturb_each_other_and_the_one_unused_longest_is_forgotten() -> None:
    latest = Latest(most=3)
    keys = [KEY._replace(chat=str(number)) for number in range(4)]
    for key in keys:
        latest.taken(key, taken(9), new=True)
    assert [latest.superseded(key, taken(1)) for key in keys] == [False, True, True, True]
