"""What AMQP cannot tell, from RabbitMQ's management HTTP API: queues, policies, bindings, its clock. GETs only."""

import asyncio
from base64 import b64encode
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from time import time
from typing import Any
from urllib.parse import quote

import aiohttp
import orjson
from yarl import URL

from worker.basics.address import Address
from worker.basics.bodies import gathered
from worker.broker.address import broker_address

SECONDS = 10.0
"""For one answer."""

MOST_BYTES = 64 * 1024**2
"""Of one answer: a list of bindings can be large (one for each event and instance)."""

PAGE = 500
_COLUMNS = "name,messages,message_bytes,consumers,arguments,policy,effective_policy_definition,exclusive"


class ManagementUnavailable(Exception):
    """No answer to use; the text says why, without credentials. `refused`: it is there, and not for this user."""

    def __init__(self, text: str, *, refused: bool = False) -> None:
        super().__init__(text)
        self.refused = refused


@dataclass(frozen=True, slots=True)
class ManagementAddress:
    """Where the API is. `shown` has no credentials."""

    shown: str
    user: str = field(repr=False)
    password: str = field(repr=False)
    vhost: str


@dataclass(frozen=True, slots=True)
class QueueFacts:
    """One queue. None: RabbitMQ has no figures of it yet (they come some ten seconds late), or none at all.

    `policy` is what all policies of the queue come to; `policy_name` the operator's own one.
    """

    name: str
    messages: int | None = None
    bytes: int | None = None
    consumers: int | None = None
    arguments: Mapping[str, Any] = field(default_factory=dict)
    policy: Mapping[str, Any] | None = None
    policy_name: str | None = None
    exclusive: bool = False


@dataclass(frozen=True, slots=True)
class Binding:
    """A queue gets what `source` is sent with a routing key that matches `key`."""

    source: str
    queue: str
    key: str


@dataclass(frozen=True, slots=True)
class Node:
    """A node that runs: its `free` disk, and the `limit` of that at which RabbitMQ blocks publishers. Bytes."""

    name: str
    free: int
    limit: int


@dataclass(frozen=True, slots=True)
class Reading:
    """Another machine's clock: how far it is ahead of ours, give or take `uncertain` (both in seconds)."""

    ahead: float
    uncertain: float


def management_address(broker: str | Address, given: str | None = None) -> ManagementAddress:
    """From `--management-url`, else guessed: the broker's host, port 15672 (amqps: https, 15671). Raises ValueError.

    Credentials are the URL's own, else those of the broker's URI.
    """
    amqp = broker_address(broker)
    if given:
        api = _given(given)
    else:
        scheme, port = ("https", 15671) if amqp.scheme == "amqps" else ("http", 15672)
        api = Address(scheme, amqp.host, port=port)
    who = api if api.user else amqp
    shown = f"{api.scheme}://{api.server}{api.path}".rstrip("/").removesuffix("/api")
    return ManagementAddress(shown, who.user or "guest", who.password or "guest", amqp.decoded_path or "/")


def _given(url: str) -> Address:
    try:
        return Address.parse(url, ("http", "https"))
    except ValueError as error:
        raise ValueError(f"must be {error}") from None


class Management:
    """`async with Management(address) as management`. Every call raises ManagementUnavailable."""

    def __init__(self, address: ManagementAddress) -> None:
        self._address = address
        self._vhost = quote(address.vhost, safe="")

    async def __aenter__(self) -> "Management":
        credentials = b64encode(f"{self._address.user}:{self._address.password}".encode()).decode()
        self._session = aiohttp.ClientSession(
            headers={"authorization": f"Basic {credentials}"},
            timeout=aiohttp.ClientTimeout(total=None),
            trust_env=False,
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def clock(self) -> Reading:
        """By the `Date` of an answer, which is in whole seconds."""
        before = time()
        _, date = await self._get("/overview?columns=rabbitmq_version")
        after = time()
        try:
            there = parsedate_to_datetime(date).timestamp() + 0.5
        except ValueError:
            raise ManagementUnavailable(f"{self._address.shown} answers without a date") from None
        return Reading(there - (before + after) / 2, (after - before) / 2 + 0.5)

    async def queues(self) -> list[QueueFacts]:
        """All of the virtual host that this user may see."""
        found: list[QueueFacts] = []
        page = pages = 1
        while page <= pages:
            query = f"page={page}&page_size={PAGE}&columns={_COLUMNS}"
            answer, _ = await self._get(f"/queues/{self._vhost}?{query}")
            with self._as_expected():
                found += [_queue(item) for item in answer["items"]]
                pages, page = int(answer["page_count"]), page + 1
        return found

    async def bindings(self) -> list[Binding]:
        """From exchanges to queues, the default exchange's left out."""
        answer, _ = await self._get(f"/bindings/{self._vhost}?columns=source,destination,destination_type,routing_key")
        with self._as_expected():
            return [
                Binding(item["source"], item["destination"], item["routing_key"])
                for item in answer
                if item["source"] and item["destination_type"] == "queue"
            ]

    async def active_consumer(self, queue: str) -> str | None:
        """The address of the process whose consumer is a queue's single active one; None: there is none."""
        columns = "queue.name,active,channel_details.peer_host,channel_details.peer_port"
        answer, _ = await self._get(f"/consumers/{self._vhost}?columns={columns}")
        with self._as_expected():
            for item in answer:
                if item["queue"]["name"] == queue and item.get("active"):
                    return f"{item['channel_details']['peer_host']}:{item['channel_details']['peer_port']}"
        return None

    async def nodes(self) -> list[Node] | None:
        """None: this user may not see them; the tag `monitoring` is needed."""
        answer = await self._unless_refused("/nodes?columns=name,running,disk_free,disk_free_limit")
        with self._as_expected():
            running = [item for item in answer or () if item["running"] and "disk_free" in item]
            found = [Node(item["name"], int(item["disk_free"]), int(item["disk_free_limit"])) for item in running]
        return None if answer is None else found

    async def feature_flags(self) -> dict[str, str] | None:
        """Their states. None: this user may not see them; the tag `administrator` is needed."""
        answer = await self._unless_refused("/feature-flags")
        with self._as_expected():
            return None if answer is None else {str(item["name"]): str(item["state"]) for item in answer}

    async def _unless_refused(self, path: str) -> Any:
        try:
            return (await self._get(path))[0]
        except ManagementUnavailable as error:
            if error.refused:
                return None
            raise

    @contextmanager
    def _as_expected(self) -> Iterator[None]:
        """Whatever else answers with JSON on that port."""
        try:
            yield
        except (KeyError, TypeError, ValueError, AttributeError):
            text = f"{self._address.shown} does not answer as RabbitMQ's management API does"
            raise ManagementUnavailable(text) from None

    async def _get(self, path: str) -> tuple[Any, str]:
        """The answer and its date."""
        shown = self._address.shown
        try:
            async with asyncio.timeout(SECONDS):
                url = URL(f"{shown}/api{path}", encoded=True)
                async with self._session.get(url, allow_redirects=False) as answer:
                    body = await gathered(answer.content.iter_any(), MOST_BYTES)
        except TimeoutError:
            raise ManagementUnavailable(f"{shown} has not answered within {SECONDS:g} s") from None
        except aiohttp.ClientConnectorSSLError as error:
            raise ManagementUnavailable(f"{shown}: {error}") from None
        except aiohttp.ClientConnectorError:
            raise ManagementUnavailable(f"nobody answers at {shown}") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise ManagementUnavailable(f"{shown}: {error or type(error).__name__}") from None
        if answer.status in (401, 403):
            raise ManagementUnavailable(f"{shown} refuses this user (HTTP {answer.status})", refused=True)
        try:
            if answer.status != 200:
                raise ValueError
            return orjson.loads(body), answer.headers.get("Date", "")
        except ValueError:
            text = f"{shown} does not answer as RabbitMQ's management API does (HTTP {answer.status})"
            raise ManagementUnavailable(text) from None


def _queue(item: Mapping[str, Any]) -> QueueFacts:
    # Absent until the first figures come; an empty one is [] in some versions.
    policy = item.get("effective_policy_definition", False)
    return QueueFacts(
        name=item["name"],
        messages=item.get("messages"),
        bytes=item.get("message_bytes"),
        consumers=item.get("consumers"),
        arguments=item.get("arguments") or {},
        policy=None if policy is False else dict(policy or {}),
        policy_name=item.get("policy"),
        exclusive=bool(item.get("exclusive")),
    )
