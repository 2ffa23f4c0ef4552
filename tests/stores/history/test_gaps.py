"""How rows that never arrived are counted, whatever order batches and tidiers come in."""

from hypothesis import given
from hypothesis import strategies as st

from worker.stores.history.gaps import SETTLED_MS, Counted, Written, count

NOW = 1_000_000_000
OLD, NEW = NOW - SETTLED_MS, NOW - SETTLED_MS + 1


def test_a_hole_counts_once_the_batch_behind_it_is_two_minutes_old() -> None:
    assert count(0, [Written(3, 2, OLD)], NOW) == Counted(5, 3)
    assert count(0, [Written(3, 2, NEW)], NOW) == Counted(0, 0)
    assert count(5, [], NOW) == Counted(5, 0)


def test_batches_without_a_hole_need_not_wait() -> None:
    assert count(0, [Written(0, 3, NEW), Written(3, 1, NEW), Written(9, 1, NEW)], NOW) == Counted(4, 0)


def test_an_old_hole_behind_a_young_one_waits_for_it() -> None:
    assert count(0, [Written(2, 1, NEW), Written(9, 1, OLD)], NOW) == Counted(0, 0)


def test_a_batch_that_overlaps_what_was_counted_takes_nothing_back() -> None:
    assert count(5, [Written(5, 3, OLD), Written(6, 1, OLD), Written(10, 0, OLD)], NOW) == Counted(10, 2)


@given(st.lists(st.tuples(st.integers(1, 9), st.booleans()), max_size=12), st.data())
def test_in_the_end_each_lost_row_has_been_counted_once(batches: list[tuple[int, bool]], data: st.DataObject) -> None:
    written, lost, number = [], 0, 0
    for rows, arrives in batches:
        if arrives:
            written.append(Written(number, rows, data.draw(st.sampled_from([OLD, NEW]))))
        number += rows
    end = written[-1].number + written[-1].rows if written else 0
    missing = end - sum(batch.rows for batch in written)
    mark = Counted(0, 0)
    for now in (NOW, NOW, NOW + SETTLED_MS):
        mark = count(mark.upto, [batch for batch in written if batch.number >= mark.upto], now)
        lost += mark.lost
    assert (mark.upto, lost) == (end, missing)
