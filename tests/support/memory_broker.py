"""A broker's end of one connection without any socket: the bytes that aiormq reads are the test's own.

It answers what aiormq asks (AMQP 0-9-1), so that a real connection, channels and consumers stand on it. `send` gives
the client bytes of any kind, in pieces of any size.
"""

import asyncio
from collections.abc import Iterable
from typing import Any

import aiormq
from pamqp import frame
from pamqp.commands import Basic, Channel, Confirm, Connection
from pamqp.common import FieldTable
from pamqp.header import ProtocolHeader
from yarl import URL

from worker.broker.aiormq_internals import CuttingTransport
from worker.broker.cutter import Cutter

_TUNE = Connection.Tune(channel_max=100, frame_max=131072, heartbeat=0)
_CAPABILITIES: FieldTable = {
    "capabilities": {"consumer_cancel_notify": True, "publisher_confirms": True, "basic.nack": True}
}


class MemoryBroker(CuttingTransport, asyncio.Transport):
    """aiormq's transport factory, and the transport that it makes. `cuts`: with a cutter between."""

    def __init__(self, *, cuts: bool) -> None:
        asyncio.Transport.__init__(self)
        self._cuts = cuts
        self._receiver: Any = None
        self._closing = False

    @classmethod
    async def connected(cls, *, cuts: bool) -> tuple["MemoryBroker", aiormq.Connection]:
        broker = cls(cuts=cuts)
        connection = aiormq.Connection(URL("amqp://memory/?heartbeat=0"), transport_factory=broker)
        await connection.connect()
        return broker, connection

    async def create(self, url: URL, **options: Any) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader(loop=loop)
        behind = asyncio.StreamReaderProtocol(reader, loop=loop)
        if self._cuts:
            self.cutter = Cutter(behind, loop.time)
        self._receiver = self.cutter or behind
        self._receiver.connection_made(self)
        return reader, asyncio.StreamWriter(self, behind, reader, loop)

    def send(self, pieces: Iterable[bytes]) -> None:
        for piece in pieces:
            if not self._closing:
                self._receiver.data_received(piece)

    # What aiormq calls.

    def write(self, data: bytes | bytearray | memoryview) -> None:
        rest = bytes(data)
        while rest:
            size, channel, method = frame.unmarshal(rest)
            rest = rest[size:]
            answer = self._answer(method)
            if answer is not None:
                self.send([frame.marshal(answer, channel)])

    def _answer(self, method: object) -> Any:
        match method:
            case ProtocolHeader():
                return Connection.Start(server_properties=_CAPABILITIES, mechanisms="PLAIN", locales="en_US")
            case Connection.StartOk():
                return _TUNE
            case Connection.Open():
                return Connection.OpenOk()
            case Connection.Close():
                return Connection.CloseOk()
            case Channel.Open():
                return Channel.OpenOk()
            case Channel.Close():
                return Channel.CloseOk()
            case Confirm.Select():
                return Confirm.SelectOk()
            case Basic.Qos():
                return Basic.QosOk()
            case Basic.Consume():
                return Basic.ConsumeOk(consumer_tag=method.consumer_tag)
            case Basic.Cancel():
                return Basic.CancelOk(consumer_tag=method.consumer_tag)
        return None

    def is_closing(self) -> bool:
        return self._closing

    def close(self) -> None:
        if not self._closing:
            self._closing = True
            asyncio.get_running_loop().call_soon(self._receiver.connection_lost, None)

    abort = close

    def can_write_eof(self) -> bool:
        return False

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return default
