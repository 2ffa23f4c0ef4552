"""Mutual TLS from end to end: certificates by the command line and for the global webhook, and what is said of them."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

from tests.conftest import StartWorker
from tests.e2e.conftest import PublishEvents
from tests.support.events import event
from tests.support.receiver import HostileReceiver, read_request
from tests.support.tls import Authority
from tests.support.worker import Worker


async def command(worker: StartWorker, *arguments: str, **settings: str) -> tuple[int, Worker]:
    started = await worker(arguments=arguments, ready=False, **settings)
    return await started.wait(), started


async def test_each_webhook_shows_its_own_certificate_to_a_receiver_of_a_private_authority(
    worker: StartWorker, publish: PublishEvents, tmp_path: Path
) -> None:
    authority = Authority()
    files = {name: tmp_path / f"{name}.pem" for name in ("acme", "operator", "ca")}
    for name, days in (("acme", 300), ("operator", 10)):
        files[name].write_text(authority.client_certificate(name, days=days))
    authority.write_certificate(files["ca"])
    came: list[str] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        name = dict(pair for part in writer.get_extra_info("peercert")["subject"] for pair in part)["commonName"]
        while await read_request(reader):
            came.append(name)
            writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")

    async with HostileReceiver(talk, tls=authority.asking()) as receiver:
        url = receiver.url("/hook")
        operators = {
            "WEBHOOK_GLOBAL_ENABLED": "true",
            "WEBHOOK_GLOBAL_URL": url,
            "WEBHOOK_GLOBAL_CLIENT_CERTIFICATE_FILE": str(files["operator"]),
            "WEBHOOK_GLOBAL_CA_FILE": str(files["ca"]),
            "WEBHOOK_EVENTS_MESSAGES_UPSERT": "true",
        }
        given = ("--ca-file", str(files["ca"]), "--client-certificate-file", str(files["acme"]))
        code, done = await command(worker, "webhook", "set", "acme", "--url", url, *given, "--json")
        assert code == 0, done.output()
        assert json.loads(done.output())["webhook"]["client_certificate"] == "***"
        daemon = await worker(**operators)
        await publish(event())
        await daemon.wait_metric("deliveries_total", 2, outcome="Delivered")
        _, examined = await command(worker, "doctor", "--json", **operators)
    assert sorted(came) == ["acme", "operator"]
    found: list[dict[str, Any]] = json.loads(examined.output())
    (soon,) = (finding for finding in found if finding["name"] == "client certificates")
    assert (soon["level"], soon["what"].startswith("expire within 14 days: WEBHOOK_GLOBAL_URL (")) == ("warning", True)
    (reached,) = (finding["what"] for finding in found if finding["name"] == "endpoints")
    assert reached == "2 receivers (host and port) can be connected to"
    key = files["acme"].read_text().splitlines()[1]
    assert key not in daemon.output() + done.output() + examined.output()
