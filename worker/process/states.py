"""States that several parts of a worker need: its connections to RabbitMQ, and whether its own network is broken."""

import logging
from collections.abc import Callable, Iterable

from worker.telemetry.metrics import Metrics

log = logging.getLogger(__name__)

Listener = Callable[[bool], None]


class ConnectionStates:
    """Which of the named connections to RabbitMQ are up: for the metrics, and for readiness."""

    def __init__(self, names: Iterable[str], metrics: Metrics) -> None:
        self._up = dict.fromkeys(names, False)
        self._seen: set[str] = set()
        self._metrics = metrics

    def listener(self, name: str) -> Listener:
        """What the client of this connection calls at each change of its state."""

        def changed(up: bool) -> None:
            if up and name in self._seen:
                self._metrics.reconnected()
            if up:
                self._seen.add(name)
            self._up[name] = up
            self._metrics.broker_connected.set(all(self._up.values()))

        return changed

    def missing(self) -> str | None:
        """The connections that are down, in words; None: all are up."""
        down = [name for name, up in self._up.items() if not up]
        return f"no connection to RabbitMQ for {' and '.join(down)}" if down else None


class SelfFault:
    """Passes on from admission whether every receiver fails to connect, which is a fault on this side.

    The listeners come later than admission, which is built before them.
    """

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self.now = False
        self._listeners: list[Listener] = []

    def pass_on_to(self, listener: Listener) -> None:
        self._listeners.append(listener)

    def changed(self, fault: bool) -> None:
        if fault:
            log.error("every receiver fails to connect: the fault is ours (network, DNS); slowing to a probe")
        else:
            log.info("receivers can be reached again: going on")
        self.now = fault
        self._metrics.self_fault.set(fault)
        for listener in self._listeners:
            listener(fault)
