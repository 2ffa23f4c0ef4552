"""What is replaced in pamqp, aiormq's codec: its checks of names, and its tables of decoders.

pamqp is capped to a minor version in pyproject.toml for this file's sake, and tests/broker/test_pamqp_internals.py
names what has moved when another one is tried.
"""

from collections.abc import Callable, Mapping

from pamqp import decode
from pamqp.commands import Basic, Exchange, Queue
from pamqp.common import FieldValue

Decode = Callable[[bytes], tuple[int, FieldValue]]
"""From the bytes at a value's start to how many of them it takes, and the value."""


class ExchangeDeclare(Exchange.Declare):
    """Names are RabbitMQ's to judge: pamqp's constructors call `validate`, which knows fewer characters."""

    def validate(self) -> None: ...


class QueueDeclare(Queue.Declare):
    def validate(self) -> None: ...


class QueueBind(Queue.Bind):
    def validate(self) -> None: ...


class QueueUnbind(Queue.Unbind):
    def validate(self) -> None: ...


class BasicConsume(Basic.Consume):
    def validate(self) -> None: ...


def replace_decoders(properties: Mapping[str, Decode], fields: Mapping[bytes, Decode]) -> None:
    """For this whole process: all connections share the two tables.

    `properties`: by the names of AMQP's types, for methods and message properties. `fields`: by the type byte of a
    value in a table or array (AMQP 0-9-1, 4.2.5.5, with RabbitMQ's errata).
    """
    decode.METHODS.update(properties)
    decode.TABLE_MAPPING.update(fields)


def decode_field(kind: bytes, value: bytes) -> tuple[int, FieldValue]:
    """A value of a table or array by its type byte. Raises KeyError for a type that nobody knows, and ValueError."""
    return decode.TABLE_MAPPING[kind](value)
