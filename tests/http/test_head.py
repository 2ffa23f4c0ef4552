"""The head as it is written at once is the head that is written line by line."""

from collections.abc import Mapping

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.domain.event import parse
from worker.domain.past import Past
from worker.domain.request.build import build
from worker.domain.request.not_sendable import NotSendable
from worker.domain.routing import Delivery, route
from worker.domain.webhook import Webhook
from worker.http.exchange import head_of

PATH = "/a%2Fb?c=d"
NAMES = st.one_of(
    st.sampled_from(["Host", "host", "HOST", "X-Host", "hostess", "webhook-id", "Authorization"]),
    st.text("abcHOST-", min_size=1, max_size=8),
)
VALUES = st.one_of(
    st.sampled_from(["", "v", "host: x", "other.example", "x\r\nhost: evil", "x\nhost: evil", "\0", "\r"]),
    st.text("ab: \u00e4", max_size=8),
)


def line_by_line(path: str, host: str, headers: Mapping[str, str], length: int) -> bytes:
    """The plain way: each header by itself; the last `Host`, however it is spelled, is the one that is sent."""
    lines = [f"POST {path} HTTP/1.1", f"Host: {host}"]
    for name, value in headers.items():
        if name.lower() == "host":
            lines[1] = f"Host: {value}"
        else:
            lines.append(f"{name}: {value}")
    lines.append(f"Content-Length: {length}")
    if any(sign in line for line in lines for sign in "\r\n\0"):
        raise ValueError("a line break or NUL inside the URL or a header")
    return "".join(f"{line}\r\n" for line in (*lines, "")).encode()


@given(st.dictionaries(NAMES, VALUES, max_size=6), st.integers(0, 10**9))
def test_a_head_is_the_same_as_line_by_line(headers: dict[str, str], length: int) -> None:
    try:
        expected = line_by_line(PATH, "hooks.example:8443", headers, length)
    except ValueError:
        with pytest.raises(ValueError, match="line break or NUL"):
            head_of(PATH, "hooks.example:8443", headers, length)
    else:
        assert head_of(PATH, "hooks.example:8443", headers, length) == expected


OWN = st.one_of(NAMES, st.sampled_from(["jwt_key", "x-instance-name", "te", "X-A"]))


@given(
    st.lists(st.tuples(OWN, VALUES), max_size=4, unique_by=lambda pair: pair[0]),
    st.sampled_from(["acme", "a b", "\u00e4\r\nx: y", "\u202e"]),
    st.booleans(),
)
def test_the_text_of_a_built_requests_headers_is_the_head_of_its_mapping(
    own: list[tuple[str, str]], instance: str, signed: bool
) -> None:
    secrets = ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",) if signed else ()
    webhook = Webhook(instance, "http://h/x", headers=tuple(own), secrets=secrets)
    body = orjson.dumps({"event": "messages.upsert\r\nx: y", "instance": instance, "data": {}})
    delivery = route(parse(body), Past("0" * 64, 0.0, "", ""), webhook, (webhook,))
    assert isinstance(delivery, Delivery)
    try:
        request = build(delivery, 1_795_000_000.0)
    except NotSendable:
        return
    host, length = "hooks.example:8443", len(request.body)
    assert head_of(PATH, host, request.headers, length) == line_by_line(PATH, host, dict(request.headers), length)
