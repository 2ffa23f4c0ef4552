"""The bench's own honesty: its ledger finds what is missing, and its receiver notes what came."""

import socket
import time

import pytest

from tests.proof.bench.ledger import Arrival, LedgerError, Receiver, check, percentile, rate
from tests.proof.bench.noting import SECOND_SERIES
from tests.proof.bench.ordering import BODY_BYTES, CHATS, INSTANCES, in_order, said
from tests.proof.bench.sampling import event
from worker.domain.event import parse
from worker.domain.webhook import Webhook
from worker.ordered.order_key import order_key


def arrivals(*numbers: int) -> list[Arrival]:
    return [Arrival(number, number % 10, 0.0, number / 100) for number in numbers]


def endpoint(number: int) -> int:
    return number % 10


def test_each_once_and_in_its_place_adds_up() -> None:
    check(arrivals(2, 0, 1), range(3), endpoint)


@pytest.mark.parametrize(
    ("came", "said"),
    [
        (arrivals(0, 2), r"1 did not arrive \(the first is number 1\), 0 came again"),
        (arrivals(0, 1, 2, 2), "0 did not arrive, 1 came again"),
        ([*arrivals(0, 1), Arrival(2, 3, 0.0, 1.0)], "1 came to a wrong endpoint"),
        (arrivals(0, 1, 2, 7), "1 should not have come"),
    ],
)
def test_what_does_not_add_up_is_told(came: list[Arrival], said: str) -> None:
    with pytest.raises(LedgerError, match=said):
        check(came, range(3), endpoint)


def test_percentiles_are_values_that_were_seen() -> None:
    ordered = [float(number) for number in range(1, 1001)]
    assert [percentile(ordered, percent) for percent in (50, 99, 99.9, 100)] == [500, 990, 999, 1000]
    assert percentile([7.0], 99.9) == 7.0


def test_the_rate_is_that_of_the_middle() -> None:
    steady = arrivals(*range(1000))
    late = Arrival(1000, 0, 0.0, 60.0)
    assert rate([*steady, late]) == pytest.approx(100)


def test_the_receiver_notes_number_endpoint_and_times() -> None:
    before = time.monotonic()
    numbers = [5, SECOND_SERIES, 6]
    with Receiver() as receiver:
        for number, behaviour in zip(numbers, ("ok", "wait-20", "ok"), strict=True):
            assert _post(receiver.url(behaviour, number % 10), number) == b"HTTP/1.1 200 OK"
        assert _post(receiver.url("broken", 3), 3) == b"HTTP/1.1 500 Broken"
        assert (receiver.count(), receiver.count_second_series()) == (3, 1)
        noted = receiver.noted()
        assert receiver.count() == 0
    assert [(one.number, one.endpoint, one.sent) for one in noted] == [(number, number % 10, 1.5) for number in numbers]
    assert before < noted[0].arrived < noted[1].arrived < noted[2].arrived < time.monotonic()


def _post(url: str, number: int) -> bytes:
    """In three pieces, as a network may deliver it; the status line of the answer."""
    _, _, host, path = url.split("/", 3)
    body = event("bench-0", 800, number, sent=1.5)
    request = b"POST /%b HTTP/1.1\r\nContent-Length: %d\r\n\r\n%b" % (path.encode(), len(body), body)
    address, _, port = host.partition(":")
    with socket.create_connection((address, int(port)), timeout=10) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for piece in (request[:20], request[20:300], request[300:]):
            connection.sendall(piece)
        return connection.recv(1000).partition(b"\r\n")[0]


def test_events_in_order_are_of_a_hundred_chats_and_one_that_comes_too_late_is_told() -> None:
    webhook = Webhook("bench-0", "http://127.0.0.1/", order="chat")
    keys = [order_key(parse(said(number)), webhook) for number in range(3 * CHATS)]
    assert len(set(keys)) == CHATS
    assert keys[:CHATS] == keys[CHATS : 2 * CHATS]
    assert {len(said(number, 12.5)) for number in range(CHATS)} == {BODY_BYTES}
    assert len({key.partition("\0")[0] for key in keys}) == INSTANCES
    in_order(arrivals(0, 1, CHATS + 1, CHATS, 2 * CHATS))
    with pytest.raises(LedgerError, match=f"number 3 arrived after number {CHATS + 3} of the same chat"):
        in_order(arrivals(1, CHATS + 3, 3))
