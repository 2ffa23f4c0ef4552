"""RABBITMQ_URI=amqps://: each option against RabbitMQ's own TLS listener."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.support.local_broker import LocalBroker
from tests.support.local_process import free_port
from tests.support.tls import Authority
from worker.broker.address import broker_address
from worker.broker.connection import BROKER_ERRORS, close, connect

LISTENER = (
    'rabbit_networking:start_ssl_listener({{"127.0.0.1", {port}}}, [{{cacertfile, "{ca}"}},'
    ' {{certfile, "{certificate}"}}, {{keyfile, "{key}"}},'
    " {{verify, {verify}}}, {{fail_if_no_peer_cert, {needs}}}], 1)."
)


class Listeners(NamedTuple):
    """Ports of the shared broker. `asking` lets nobody in without a certificate of the authority."""

    plain: int
    asking: int
    files: dict[str, Path]

    def uri(self, options: str, *, asking: bool = False) -> str:
        for name, path in self.files.items():
            options = options.replace(f"={name}", f"={path}")
        return f"amqps://guest:guest@127.0.0.1:{self.asking if asking else self.plain}/{options}"


@pytest.fixture(scope="module")
def listeners(broker: LocalBroker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Listeners]:
    folder, authority = tmp_path_factory.mktemp("tls"), Authority()
    certificate, key = authority.write_server(folder)
    ca = authority.write_certificate(folder / "ca.pem")
    others = Authority().write_certificate(folder / "others.pem")
    mine = dict(zip(("CERT", "KEY"), authority.write_client(folder), strict=True))
    ports = free_port(), free_port()
    started = [
        LISTENER.format(port=port, ca=ca, certificate=certificate, key=key, verify=verify, needs=needs)
        for port, verify, needs in zip(ports, ("verify_none", "verify_peer"), ("false", "true"), strict=True)
    ]
    broker.ctl("eval", " ".join(started).replace("). ", "), "))
    yield Listeners(*ports, {"CA": ca, "OTHERS": others, **mine})
    broker.ctl(
        "eval", ", ".join(f'rabbit_networking:stop_tcp_listener({{"127.0.0.1", {port}}})' for port in ports) + "."
    )


async def reach(uri: str) -> None:
    await close(await connect(broker_address(uri), "test"))


@pytest.mark.parametrize(
    ("options", "asking"),
    [
        ("?cafile=CA", False),
        ("?cacertfile=CA&verify=verify_peer&fail_if_no_peer_cert=true", False),
        ("?verify=verify_none", False),
        ("?no_verify_ssl=1&heartbeat=30", False),
        ("?cacertfile=CA&certfile=CERT&keyfile=KEY", True),
    ],
)
async def test_rabbitmq_is_reached(listeners: Listeners, options: str, asking: bool) -> None:
    await reach(listeners.uri(options, asking=asking))


@pytest.mark.parametrize(
    ("options", "asking"),
    [
        ("", False),  # the system's authorities do not know it
        ("?cacertfile=OTHERS", False),
        ("?cacertfile=CA", True),
        ("?verify=verify_none", True),
    ],
)
async def test_rabbitmq_is_not_reached_otherwise_than_asked_for(
    listeners: Listeners, options: str, asking: bool
) -> None:
    with pytest.raises(BROKER_ERRORS):
        await reach(listeners.uri(options, asking=asking))


async def test_a_name_that_is_not_the_certificates_is_refused(listeners: Listeners) -> None:
    uri = listeners.uri("?cacertfile=CA").replace("127.0.0.1", "localhost")
    with pytest.raises(BROKER_ERRORS, match=r"certificate verify failed"):
        await reach(uri)
