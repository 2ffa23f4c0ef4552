"""The connections of all deliveries: which one carries a POST, and which can carry another."""

from worker.http.aiohttp_internals import Connection, Origin, Pool, Protocol, protocol_of


class Connections(Pool):
    """Chooses idle connections with care."""

    async def kept(self, origin: Origin) -> Connection | None:
        """The idle connection that was used last, if there is one; returns at once. Closes those that cannot be used.

        An answer that nobody asked for (a 408 to an idle connection, the second half of two) must not become the
        answer to the next POST, as aiohttp lets it.
        """
        while (connection := await self.last_used(origin)) is not None:
            if not protocol_of(connection).should_close:
                return connection
            abort(connection)
        return None

    def done(self, origin: Origin, protocol: Protocol) -> None:
        """A plain answer has come on a connection that was got by `take`: it is idle, or closed if it is not reusable.

        `reusable` asks for what `take` has asked for already; since then only bytes can be left.
        """
        transport = protocol.transport
        if transport is not None and transport.get_write_buffer_size() == 0:
            self.give_back(origin, protocol)
        else:
            abort(self.connection(origin, protocol))

    async def fresh(self, origin: Origin, deadline: float) -> Connection:
        """A new connection; `deadline` as for `new`. Raises aiohttp.ClientConnectionError, OSError."""
        while (connection := await self.kept(origin)) is not None:
            abort(connection)  # it was kept beside a stale one, and is likely stale too
        return await self.new(origin, deadline)


def reusable(connection: Connection) -> bool:
    """Whether it can carry another POST.

    Not with bytes left that a receiver has answered without reading: they would pile up with each POST.
    """
    protocol = protocol_of(connection)
    transport = protocol.transport
    return not protocol.should_close and transport is not None and transport.get_write_buffer_size() == 0


def abort(connection: Connection) -> None:
    """Close at once: a receiver that does not read would hold the socket of a mere `close` for ever."""
    protocol_of(connection).abort()
    connection.close()
