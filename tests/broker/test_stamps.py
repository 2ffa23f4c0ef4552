"""What a message of a siding carries survives the way through headers; what is not ours is told apart."""

from collections.abc import Mapping

import pytest

from worker.broker.ordered.stamps import NotOurs, stamped, stored_in
from worker.domain.webhook import Endpoint
from worker.ordered.deciding.ports import Item, Kind, Stamp, Stored

ENDPOINT = Endpoint("loja 1", "böt")


def test_an_event_comes_back_as_it_went() -> None:
    stamp = Stamp(Kind.EVENT, 1_795_000_000_000_123, 7, 1_795_000_000_000_124, ENDPOINT)
    item = Item("msg_1", ENDPOINT, "loja 1\0" + "5511@s.whatsapp.net", block_seconds=1.5)
    assert stored_in(stamped(stamp, item)) == Stored(stamp, "msg_1", item.key, 1.5)


def test_texts_may_come_as_bytes() -> None:
    headers = stamped(Stamp(Kind.LABEL, 1, 2, 3, ENDPOINT), None)
    as_bytes = {key: value.encode() if isinstance(value, str) else value for key, value in headers.items()}
    assert stored_in(as_bytes).stamp == Stamp(Kind.LABEL, 1, 2, 3, ENDPOINT)


def test_a_marker_needs_no_endpoint() -> None:
    assert stored_in(stamped(Stamp(Kind.MARKER, 1, 2), None)).stamp == Stamp(Kind.MARKER, 1, 2)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"x-delivery-order-kind": "letter"},
        {**stamped(Stamp(Kind.MARKER, 1, 2), None), "x-delivery-order-epoch": True},
        {**stamped(Stamp(Kind.EVENT, 1, 2, 3, ENDPOINT), None)},
        {**stamped(Stamp(Kind.LABEL, 1, 2, 3, ENDPOINT), None), "x-delivery-order-instance": b"\xff"},
    ],
)
def test_what_somebody_else_published_is_not_ours(headers: Mapping[str, object]) -> None:
    with pytest.raises(NotOurs):
        stored_in(headers)
