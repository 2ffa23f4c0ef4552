"""The content header is what pamqp would have read and written."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pamqp import frame
from pamqp.header import ContentHeader

from worker.broker.publishing.content import content_header

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
VALUES = st.one_of(TEXT, st.integers(-(2**63), 2**63 - 1), st.lists(TEXT, max_size=5))


@given(
    channel=st.integers(1, 65535),
    size=st.integers(0, 2**40),
    headers=st.dictionaries(st.text("abc-", min_size=1, max_size=20), VALUES, max_size=12),
    message_id=st.text("0123456789", max_size=20),
)
def test_it_reads_back_as_it_was(channel: int, size: int, headers: dict[str, object], message_id: str) -> None:
    raw = content_header(channel, size, headers, message_id)
    length, number, header = frame.unmarshal(raw)
    assert isinstance(header, ContentHeader)
    assert (length, number, header.body_size) == (len(raw), channel, size)
    properties = header.properties
    assert (properties.content_type, properties.delivery_mode) == ("application/json", 2)
    assert (properties.message_id or "") == message_id
    assert (properties.headers or {}) == headers


@pytest.mark.parametrize("value", [2**63, object()])
def test_what_amqp_cannot_hold_is_refused(value: object) -> None:
    with pytest.raises(TypeError):
        content_header(1, 0, {"x": value}, "1")
