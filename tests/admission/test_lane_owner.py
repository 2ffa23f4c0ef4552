"""The state of a lane has one owner: no other file of the room assigns it."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from worker.admission import lanes

OWNER = Path(lanes.__file__)
OTHERS = sorted(path for path in OWNER.parent.glob("*.py") if path != OWNER)


def assigned(source: str) -> Iterator[str]:
    """`object.slot` for each assignment to a name of Lane's slots, but those of a class to its own `self`."""
    for node in ast.walk(ast.parse(source)):
        if (
            not isinstance(node, ast.Attribute)
            or isinstance(node.ctx, ast.Load)
            or node.attr not in lanes.Lane.__slots__
        ):
            continue
        if not (isinstance(node.value, ast.Name) and node.value.id == "self"):
            yield ast.unparse(node)


@pytest.mark.parametrize("path", OTHERS, ids=lambda path: path.name)
def test_no_other_file_assigns_a_slot_of_a_lane(path: Path) -> None:
    assert list(assigned(path.read_text())) == []


@pytest.mark.parametrize(
    "statement",
    [
        "lane.in_flight += 1",
        "attempt.lane.old -= 1",
        "lane.pool = pool",
        "a, lane.limit = 1, 2",
        "del lane.bucket",
        "for lane.cap in caps: pass",
        "lane.latency: float = 1.0",
    ],
)
def test_every_kind_of_assignment_would_be_seen(statement: str) -> None:
    assert len(list(assigned(statement))) == 1


def test_reading_it_and_a_classs_own_attributes_are_free() -> None:
    assert list(assigned("self.limit = lane.limit; lane.breaker.epoch; self.in_flight += 1")) == []
