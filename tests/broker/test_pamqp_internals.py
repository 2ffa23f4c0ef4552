"""Each name that broker/pamqp_internals.py finds inside pamqp; one that has moved fails by its name."""

import pytest
from pamqp import decode, encode, frame
from pamqp.base import Frame
from pamqp.commands import Basic, Exchange, Queue

from tests.support.internals import Internal, problem_with
from worker.broker import pamqp_internals as ours

STRANGE = "loja ç / 日本 !" * 12
"""What RabbitMQ takes for a name, and pamqp refuses: other characters, and more than 127."""

INTERNALS = (
    Internal(Exchange.Declare, "validate"),
    Internal(Queue.Declare, "validate"),
    Internal(Queue.Bind, "validate"),
    Internal(Queue.Unbind, "validate"),
    Internal(Basic.Consume, "validate"),
    Internal(encode, "encode_table_value", ("value",)),
    Internal(frame, "marshal", ("frame_value", "channel_id")),
    Internal(decode, "short_str", ("value",)),
    Internal(decode, "timestamp", ("value",)),
    Internal(decode, "METHODS"),
    Internal(decode, "TABLE_MAPPING"),
)


@pytest.mark.parametrize("internal", INTERNALS, ids=str)
def test_a_name_inside_pamqp_is_where_we_look_for_it(internal: Internal) -> None:
    assert problem_with(internal) is None


@pytest.mark.parametrize("name", ["shortstr", "timestamp", "table", "array"])
def test_a_type_of_properties_has_a_decoder_to_replace(name: str) -> None:
    assert name in decode.METHODS, f"decode.METHODS has no {name}"


@pytest.mark.parametrize("kind", [b"T", b"F", b"A", b"S", b"l"])
def test_a_type_of_fields_has_a_decoder_to_replace(kind: bytes) -> None:
    assert kind in decode.TABLE_MAPPING, f"decode.TABLE_MAPPING has no {kind!r}"


@pytest.mark.parametrize(
    "made",
    [
        lambda name: ours.ExchangeDeclare(exchange=name),
        lambda name: ours.QueueDeclare(queue=name),
        lambda name: ours.QueueBind(queue=name, exchange=name, routing_key="#"),
        lambda name: ours.QueueUnbind(queue=name, exchange=name, routing_key="#"),
        lambda name: ours.BasicConsume(queue=name),
    ],
    ids=["Exchange.Declare", "Queue.Declare", "Queue.Bind", "Queue.Unbind", "Basic.Consume"],
)
def test_validate_is_all_that_keeps_a_name_from_being_sent(made: type[Frame]) -> None:
    assert STRANGE.encode() in frame.marshal(made(STRANGE), 1)
