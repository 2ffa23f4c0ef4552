"""deploy/Dockerfile and deploy/compose.yaml, as far as they can be judged where no container runs."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import yaml
from aiohttp import ClientConnectionError, ClientSession

from tests.deploy.alerts import DEPLOY
from tests.support.dockerfile import final_stage, instructions, memory_settings
from tests.support.local_process import free_port
from tests.support.prometheus import promtool
from tests.support.waiting import eventually
from worker import __version__
from worker.settings.settings import load

ROOT = DEPLOY.parent
SPARE_SECONDS = 20


def compose() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    return found


# The image


def test_every_base_is_pinned_by_its_digest() -> None:
    arguments = {rest.split("=", 1)[0]: rest.split("=", 1)[1] for word, rest in instructions() if word == "ARG"}
    base, last = [rest.split()[0] for word, rest in instructions() if word == "FROM"]
    assert re.fullmatch(r"python:3\.\d+\.\d+-slim-bookworm@sha256:[0-9a-f]{64}", arguments[base.strip("${}")])
    assert last == "scratch"


def test_packages_are_installed_by_hash_and_only_as_wheels() -> None:
    installs = [rest for word, rest in instructions() if word == "RUN" and "pip" in rest and "install" in rest]
    assert len(installs) == 1
    assert "--require-hashes --only-binary :all: --no-deps" in installs[0]


def test_it_runs_as_nobody_in_particular_and_gets_its_signals_itself() -> None:
    stage = dict(final_stage())
    user, group = stage["USER"].split(":")
    assert int(user) > 0
    assert int(group) > 0
    assert json.loads(stage["ENTRYPOINT"]) == ["webhook-worker"]
    assert json.loads(stage["CMD"]) == ["run"]
    assert stage["STOPSIGNAL"] == "SIGTERM"
    compile(json.loads(stage["HEALTHCHECK"].partition("CMD ")[2])[2], "HEALTHCHECK", "exec")


def test_its_glibc_asks_for_huge_pages() -> None:
    """GNU C library 2.35: malloc says MADV_HUGEPAGE of what it gets. A name it does not know it would pass over."""
    assert memory_settings() == {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"}
    said = subprocess.run(
        [next(Path("/").glob("lib*/ld-linux*")), "--list-tunables"],
        env=memory_settings(),
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert re.search(r"^glibc\.malloc\.hugetlb: 0x1 ", said, re.MULTILINE)


def test_what_it_copies_is_in_the_context_and_nothing_else_is() -> None:
    copies = [shlex.split(rest)[0] for word, rest in instructions() if word == "COPY" and "--from" not in rest]
    ignored = (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines()
    assert all((ROOT / path).exists() for path in copies)
    allowed = {line.removeprefix("!").removesuffix("**") for line in ignored if line.startswith("!")}
    assert set(copies) == allowed
    assert "ADD" not in {word for word, _ in instructions()}


# Compose


def test_the_services_are_those_that_the_file_promises_and_hang_together() -> None:
    services = compose()["services"]
    assert services.keys() >= {"rabbitmq", "postgres", "worker", "prometheus", "grafana", "receiver"}
    for name, service in services.items():
        assert service.get("image"), name
        assert ":" in service["image"]
        assert not service["image"].endswith(":latest")
        for other, condition in service.get("depends_on", {}).items():
            assert condition != {"condition": "service_healthy"} or "healthcheck" in services[other]


def test_files_that_are_mounted_exist() -> None:
    mounts = [mount.split(":")[0] for service in compose()["services"].values() for mount in service.get("volumes", [])]
    named = compose()["volumes"].keys()
    assert all((DEPLOY / mount).exists() if mount.startswith(".") else mount in named for mount in mounts)


def test_ports_are_published_on_loopback_only() -> None:
    ports = [port for service in compose()["services"].values() for port in service.get("ports", [])]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_the_worker_starts_with_its_settings_and_stops_after_its_drain() -> None:
    worker = compose()["services"]["worker"]
    settings, warnings = load(worker["environment"], None)
    assert not warnings
    assert int(worker["stop_grace_period"].removesuffix("s")) >= settings.worker_drain_seconds + SPARE_SECONDS
    assert worker["read_only"] is True
    assert worker["cap_drop"] == ["ALL"]
    (subnet,) = compose()["networks"]["default"]["ipam"]["config"]
    assert settings.egress_allow == (ip_network(subnet["subnet"]),)


def test_the_version_stands_in_one_place() -> None:
    tags = {service["image"] for service in compose()["services"].values() if "build" in service}
    assert tags == {f"evolution-webhook-worker:{__version__}"}
    assert f"evolution-webhook-worker:{__version__} ." in (DEPLOY / "Dockerfile").read_text()


def test_prometheus_accepts_its_configuration_and_scrapes_every_replica() -> None:
    promtool("check", "config", DEPLOY / "prometheus" / "prometheus.yaml")
    (job,) = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yaml").read_text())["scrape_configs"]
    (found,) = job["dns_sd_configs"]
    assert found["names"] == ["worker"]
    assert found["port"] == load({}, None)[0].metrics_port


def test_grafana_finds_prometheus_and_the_dashboard() -> None:
    folder = DEPLOY / "grafana" / "provisioning"
    (source,) = yaml.safe_load((folder / "datasources" / "prometheus.yaml").read_text())["datasources"]
    assert source["url"] == "http://prometheus:9090"
    (provider,) = yaml.safe_load((folder / "dashboards" / "webhook-worker.yaml").read_text())["providers"]
    mounts = compose()["services"]["grafana"]["volumes"]
    assert any(mount.split(":")[1].startswith(provider["options"]["path"]) for mount in mounts)


async def test_the_sample_receiver_answers_and_prints(tmp_path: Path) -> None:
    port, out = free_port(), tmp_path / "out"
    program = [sys.executable, str(DEPLOY / "compose" / "receiver.py")]
    with out.open("w") as stdout:
        process = subprocess.Popen(program, env={"PORT": str(port)}, stdout=stdout, stderr=subprocess.STDOUT)
    headers = {"x-event-type": "call", "webhook-id": "msg_1"}

    async def post() -> int | None:
        try:
            async with (
                ClientSession() as client,
                client.post(f"http://127.0.0.1:{port}/demo", headers=headers) as answer,
            ):
                return answer.status
        except ClientConnectionError:
            return None

    try:
        await eventually(post, lambda status: status == 200, 15, "the receiver to answer")
        assert out.read_text() == "/demo - call msg_1 - b''\n"
    finally:
        process.kill()
        process.wait()
