"""Every setting of the worker: name, type, default, meaning and limits; `load` builds them from both sources.

A field's name is its variable's in lower case; WEBHOOK_EVENTS_<NAME> variables gather in `webhook_events`.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import pydantic
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic import PlainValidator as Read

from worker.basics.address import Address
from worker.basics.masking import MASK, authority_alone
from worker.domain.evolution_go import MOST_INSTANCES
from worker.settings import environment as given
from worker.settings import ways_out
from worker.settings.choices import chosen, nothing_chosen
from worker.settings.environment import EVENTS, Given, Network, Reading, number, text
from worker.settings.history import default_database
from worker.stores.database import Database
from worker.stores.own.sealing import Sealer
from worker.webhooks import certificates
from worker.webhooks.fields import filter_warnings, type_warnings

_YEAR = 31_536_000
_INITIAL = "webhook_retry_initial_delay_seconds"

Flag = Annotated[bool, Read(given.boolean)]
FlagOrNone = Annotated[bool | None, Read(given.flag_or_none)]
Text = Annotated[str, Read(text("plain text"))]
Prefix = Annotated[str, Read(text("the beginning of queue names, without spaces", r"\S*", 150))]
OwnPrefix = Annotated[str, Read(text("ASCII letters, digits and . _ - :", r"(?!amq(\.|$))[A-Za-z0-9_.:-]+", 150))]
Exchange = Annotated[str, Read(text("an exchange's name", r".+", 255))]
Broker = Annotated[Address, Read(given.broker)]
Receiver = Annotated[str, Read(given.receiver)]
Host = Annotated[str, Read(text("an address or host name to listen on", r"[\w.:%-]+", 255))]
Port = Annotated[int, Read(number(int, 0, 65_535))]
Slots = Annotated[int, Read(number(int, 1, 100_000))]
Seconds = Annotated[float, Read(number(float, 0, _YEAR, above=True))]
SecondsOrZero = Annotated[float, Read(number(float, 0, _YEAR))]
# A delay is the TTL of a queue in milliseconds, which the broker keeps in 32 bits: 30 days is safely below.
Delay = Annotated[int, Read(number(int, 1, 2_592_000))]
Share = Annotated[float, Read(number(float, 0, 1))]
Status = Annotated[int, Read(number(int, 300, 599))]
Entry = Annotated[Network, Read(given.network)]
InstanceId = Annotated[
    str, Read(text("ids of instances (UUIDs)", r"[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}"))
]
Proxy = Annotated[Address | None, Read(ways_out.proxy)]
Authorities = Annotated[str, Read(ways_out.authorities)]
ClientCertificate = Annotated[str, Read(ways_out.pem(certificates.client_certificate))]
OwnAuthorities = Annotated[str, Read(ways_out.pem(certificates.authorities))]
Items = BeforeValidator(given.entries)
LooseItems = BeforeValidator(given.loose_entries)
Word = BeforeValidator(given.word)


def setting(default: Any, meaning: str, repr: bool = True) -> Any:  # noqa: A002
    """A setting's default and its meaning in one line; `repr=False` keeps what may hold a secret out of tracebacks."""
    return Field(default, description=meaning, repr=repr)


def chosen_setting(name: str, meaning: str) -> Any:
    """Of the global webhook's field `name`."""
    return Field(nothing_chosen(name), description=meaning)


class Settings(BaseModel):
    """Frozen; checks each value and the rules between values, and never repeats an input in an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, validate_default=True)

    rabbitmq_uri: Broker = setting("amqp://guest:guest@localhost:5672/", "The broker.", repr=False)
    rabbitmq_exchange_name: Exchange = setting("evolution_exchange", "Evolution's exchange; its example: `evolution`.")
    rabbitmq_prefix_key: Prefix = setting("", "Prefix of Evolution's own queues; used by source `queues`.")
    rabbitmq_source: Annotated[Literal["exchange", "queues"], Word] = setting(
        "exchange", "`exchange`: a queue of our own; `queues`: Evolution's own queues."
    )
    rabbitmq_instance_exchanges: Flag = setting(False, "Also bind the exchange of each known instance.")
    rabbitmq_instance_queues: Annotated[frozenset[InstanceId], Items] = setting(
        frozenset(), "Ids of Evolution Go's instances whose own queues source `queues` reads, too: 32 at most."
    )
    rabbitmq_declare: Flag = setting(True, "`false`: only check that queues and exchanges exist.")

    order: Flag = setting(
        False, "Deliver webhooks with `order` in order, from a queue of their own ([order](order.md))."
    )
    order_sidings: Annotated[int, Read(number(int, 1, 10_000))] = setting(
        500, "Most endpoints with `order` that can be down at once without holding up the others."
    )

    worker_queue_prefix: OwnPrefix = setting("webhooks", "First part of the names of all our queues.")
    worker_concurrency: Slots = setting(500, "Attempts at once in this process; also the prefetch, without what hangs.")
    worker_endpoint_concurrency: Slots = setting(20, "Attempts at once to one endpoint.")
    worker_global_concurrency: Slots = setting(200, "Attempts at once to the global webhook.")
    worker_max_bytes: Annotated[int, Read(given.size)] = setting(
        256 * 1024**2, "Un-acked bytes above which consuming pauses."
    )

    webhook_source: Annotated[Literal["own", "evolution", "file"], Word] = setting(
        "own", "Webhooks come from our table (`own`), `evolution`'s database or a `file`."
    )
    webhook_file: Text = setting("webhooks.toml", "The file of source `file`.")
    webhook_secret_key: Text = setting(
        "", "Encrypts stored secrets and headers: 32 bytes in base64. Secret.", repr=False
    )
    webhook_forward_apikey: FlagOrNone = setting(
        None, "`false` drops `apikey` from every body, `true` leaves Evolution Go's `instanceToken` in it, too."
    )
    database_connection_uri: Annotated[Database, Read(given.database)] = setting(
        "sqlite:///webhooks.db",
        "`sqlite:///`, `postgresql://` or `mysql://`; `?schema=` as Evolution writes it.",
        repr=False,
    )
    cache_ttl_seconds: Seconds = setting(60.0, "Longest time that a cached webhook goes unverified.")
    evolution_take_all: Flag = setting(False, "Deliver every row of Evolution's, not only `worker+` ones.")

    evolution_webhook_file: Text = setting(
        "", "Of source `evolution`: a file with what its rows have no columns for ([choices](webhooks.md))."
    )

    server_host: Host = setting("127.0.0.1", "Where the /webhook API listens.")
    server_port: Port = setting(8085, "Its port; 0 takes any free one.")
    authentication_api_key: Text = setting("", "Key of the API; empty = API off. Secret.", repr=False)
    instance_tokens_uri: Annotated[Database | None, Read(given.tokens_database)] = setting(
        None,
        "Evolution's database: an instance's token there opens API and console for it. Source `evolution` needs none.",
        repr=False,
    )
    console: Flag = setting(True, "`false`: the API has no [console](console.md) (`/console`) beside it.")
    metrics_host: Host = setting("0.0.0.0", "Where /metrics, /livez and /readyz listen.")  # noqa: S104
    metrics_port: Port = setting(9464, "Their port; 0 takes any free one.")
    metrics_instances: Annotated[frozenset[str], Items] = setting(frozenset(), "Instances with metrics of their own.")

    webhook_global_enabled: Flag = setting(False, "Send events of all instances to one more webhook.")
    webhook_global_url: Receiver = setting("", "The URL of the global webhook.", repr=False)
    webhook_global_webhook_by_events: Flag = setting(False, "Append the event's path to its URL.")
    webhook_global_client_certificate_file: ClientCertificate = setting(
        "", "PEM file with the certificate, chain and key that it shows to its receiver.", repr=False
    )
    webhook_global_ca_file: OwnAuthorities = setting(
        "", "PEM file with the only authorities that its receiver's certificate may come from.", repr=False
    )
    webhook_global_order: Annotated[Literal["none", "switching", "chat", "instance"], Word] = setting(
        "none", "Deliver what the global webhook gets in order; change it by way of `switching` ([order](order.md))."
    )
    webhook_global_ignore: Annotated[Any, Read(chosen("ignore"))] = chosen_setting(
        "ignore", "Kinds of events that it does not get: `groups`, `status`, ... ([filters](filters.md))."
    )
    webhook_global_only_chats: Annotated[Any, Read(chosen("only_chats"))] = chosen_setting(
        "only_chats", "The only chats whose events it gets."
    )
    webhook_global_except_chats: Annotated[Any, Read(chosen("except_chats"))] = chosen_setting(
        "except_chats", "Chats whose events it does not get."
    )
    webhook_global_message_types: Annotated[Any, Read(chosen("message_types"))] = chosen_setting(
        "message_types", "The only message types that it gets."
    )
    webhook_global_filter: Annotated[Any, Read(chosen("filter"))] = chosen_setting(
        "filter", "What must hold of an event, as JSON text."
    )
    webhook_global_media: Annotated[Any, Read(chosen("media"))] = chosen_setting(
        "media", "`keep`, or `strip`: size and hash in the place of base64."
    )
    webhook_global_thumbnails: Annotated[Any, Read(chosen("thumbnails"))] = chosen_setting(
        "thumbnails", "`keep`, or `strip`: null in the place of thumbnails."
    )
    webhook_global_max_body_bytes: Annotated[Any, Read(chosen("max_body_bytes"))] = chosen_setting(
        "max_body_bytes", "A larger body is stripped; still larger: a dead letter."
    )
    webhook_global_ttl_seconds: Annotated[Any, Read(chosen("ttl_seconds"))] = chosen_setting(
        "ttl_seconds", "`EVENT=SECONDS,...`: an older one is skipped."
    )
    webhook_global_latest_only: Annotated[Any, Read(chosen("latest_only"))] = chosen_setting(
        "latest_only", "Events that a newer one of their chat supersedes."
    )
    webhook_events: Annotated[frozenset[str], Items] = setting(frozenset(), "`true` for each event it is to get.")

    # RabbitMQ closes a channel whose message is un-acked for 30 minutes: an attempt must be well below that.
    webhook_request_timeout_ms: Annotated[int, Read(number(int, 1, 600_000))] = setting(
        30_000, "Deadline of a whole attempt, body included."
    )
    worker_drain_seconds: SecondsOrZero = Field(
        default_factory=lambda data: data["webhook_request_timeout_ms"] / 1000 + 5,
        description="Time at shutdown for what is in flight; default: the request timeout + 5 s.",
    )
    # At most 100: with a small multiplier each attempt has a delay, and so a queue, of its own.
    webhook_retry_max_attempts: Annotated[int, Read(number(int, 1, 100))] = setting(
        12, "Attempts before a delivery becomes a dead letter."
    )
    webhook_retry_initial_delay_seconds: Delay = setting(5, "Delay before the second attempt.")
    webhook_retry_multiplier: Annotated[float, Read(number(float, 1, 100))] = setting(
        3.0, "Factor of each delay to the one before."
    )
    webhook_retry_max_delay_seconds: Delay = setting(21_600, "Longest delay.")
    webhook_retry_use_exponential_backoff: Flag = setting(True, "`false`: every delay is the initial one.")
    webhook_retry_jitter_factor: Share = setting(0.2, "Spreads in-process waits by this share.")
    webhook_retry_non_retryable_status_codes: Annotated[frozenset[Status], Items] = setting(
        frozenset({400, 401, 403, 404, 422}), "Answers that end a delivery at once."
    )
    webhook_retry_max_age_seconds: Seconds = setting(86_400.0, "Age at which any delivery expires.")

    breaker_failures: Slots = setting(10, "Failures in a row that open an endpoint's circuit.")
    breaker_failure_rate: Annotated[float, Read(number(float, 0, 1, above=True))] = setting(
        0.5, "Share of failures in the window that opens it."
    )
    breaker_min_requests: Slots = setting(20, "Requests in the window before that share counts.")
    breaker_window_seconds: Seconds = setting(60.0, "Length of the window.")
    breaker_open_seconds: Seconds = setting(30.0, "Time until an open circuit is probed.")
    self_fault_window_seconds: Seconds = setting(
        30.0, "Many hosts fail and none succeeds for this long: fault is ours."
    )
    endpoint_disable_after_seconds: SecondsOrZero = setting(
        432_000.0, "A webhook failing this long is disabled; 0 = never."
    )
    disabled_webhook: Annotated[Literal["skip", "dead", "replay"], Word] = setting(
        "skip", "Events for a disabled webhook: `skip`, `dead` (dead letters), `replay` (sent when it is enabled)."
    )
    ops_webhook_url: Receiver = setting("", "Where [notices](notices.md) about all webhooks go.", repr=False)
    ops_webhook_secret: Annotated[str, Read(given.signing_secret)] = setting(
        "", "Signs them: `whsec_` and the base64 of 24 to 64 bytes. Secret.", repr=False
    )
    ops_webhook_format: Annotated[Literal["auto", "standard", "slack", "discord"], Word] = setting(
        "auto", "Their form: `standard`, `slack` or `discord`; `auto`: by the URL."
    )
    egress_allow: Annotated[tuple[Entry, ...], Items] = setting((), "Networks allowed although private or loopback.")
    egress_deny: Annotated[tuple[Entry, ...], Items] = setting((), "Networks refused although public.")
    egress_proxy: Proxy = setting(
        None, "`http://user:password@host:port`: all POSTs go through this proxy.", repr=False
    )
    egress_proxy_resolves: Flag = setting(False, "`true`: names are left to the proxy, EGRESS_* judge only addresses.")
    no_proxy: Annotated[tuple[str, ...], LooseItems] = setting(
        (), "Hosts, networks and ports reached without EGRESS_PROXY."
    )
    egress_ca_file: Authorities = setting("", "PEM file of authorities that are trusted beside the system's.")

    history: Annotated[Literal["all", "failures", "off"], Word] = setting(
        "all", "What is kept of deliveries for people to look up: `all`, `failures` or `off` ([history](history.md))."
    )
    history_days: Annotated[int, Read(number(int, 1, 3650))] = setting(7, "How long.")
    history_database_uri: Annotated[Database, Read(given.history_database)] = Field(
        default_factory=default_database,
        description="Where; default: the worker's own database if it is a server, else a file `history.db`.",
        repr=False,
    )
    history_writer: Flag = setting(True, "`false`: `webhook-worker history-writer` writes it, this process does not.")

    archive: Flag = setting(True, "Keep all events in a RabbitMQ stream for [replays](replay.md) and `webhook pause`.")
    archive_hours: Annotated[int, Read(number(int, 1, 8760))] = setting(24, "How long, at its first declaration.")
    archive_max_bytes: Annotated[int, Read(given.archive_size)] = setting(1024**3, "Its largest size, likewise.")

    log_level: Annotated[Literal["debug", "info", "warning", "error"], Word] = setting(
        "info", "`debug`, `info`, `warning` or `error`; `debug` logs successes too."
    )
    log_format: Annotated[Literal["json", "text"], Word] = setting("json", "`json` or `text`; one line a record.")

    @pydantic.field_validator("*")
    @classmethod
    def _agrees(cls, value: Any, info: pydantic.ValidationInfo) -> Any:
        """Rules between values look only at fields above; one that failed is absent from `info.data`."""
        others, source = info.data, info.data.get("webhook_source")
        match info.field_name:
            case "rabbitmq_instance_queues" if value and others.get("rabbitmq_source") == "exchange":
                raise ValueError("empty unless RABBITMQ_SOURCE is queues")
            case "rabbitmq_instance_queues" if len(value) > MOST_INSTANCES:
                raise ValueError(f"at most {MOST_INSTANCES} ids: for more, AMQP_GLOBAL_ENABLED=true in Evolution Go")
            case "webhook_file" if not value and source == "file":
                raise ValueError("a path while WEBHOOK_SOURCE is file")
            case "evolution_webhook_file" if value and source not in ("evolution", None):
                raise ValueError("empty unless WEBHOOK_SOURCE is evolution")
            case "webhook_secret_key":
                Sealer(value)
            case "database_connection_uri" if value.dialect == "sqlite" and source == "evolution":
                raise ValueError("Evolution's postgresql:// or mysql:// while WEBHOOK_SOURCE is evolution")
            case "metrics_port" if value and value == others.get("server_port") and _one_host(others):
                raise ValueError("another port than SERVER_PORT, or 0, on one host")
            case "webhook_global_url" if not value and others.get("webhook_global_enabled"):
                raise ValueError("an http:// or https:// URL while WEBHOOK_GLOBAL_ENABLED is true")
            case "disabled_webhook" if value == "replay" and source not in ("own", None):
                raise ValueError("skip or dead unless WEBHOOK_SOURCE is own")
            case "history" if value != "all" and others.get("disabled_webhook") == "replay":
                raise ValueError("all while DISABLED_WEBHOOK is replay")
            case "archive" if not value and others.get("disabled_webhook") == "replay":
                raise ValueError("true while DISABLED_WEBHOOK is replay")
            case "webhook_retry_max_delay_seconds" if value < others.get(_INITIAL, 0):
                raise ValueError("at least WEBHOOK_RETRY_INITIAL_DELAY_SECONDS")
        return value

    @pydantic.field_validator("instance_tokens_uri")
    @classmethod
    def _has_none_already(cls, value: Any, info: pydantic.ValidationInfo) -> Any:
        if value is not None and info.data.get("webhook_source") == "evolution":
            raise ValueError("empty while WEBHOOK_SOURCE is evolution: DATABASE_CONNECTION_URI has the tokens")
        return value

    @pydantic.field_validator("order", "webhook_global_order")
    @classmethod
    def _orders(cls, value: Any, info: pydantic.ValidationInfo) -> Any:
        others = info.data
        if info.field_name == "order" and value and others.get("rabbitmq_source") == "queues":
            raise ValueError("false while RABBITMQ_SOURCE is queues: those hold one kind of event each, in no order")
        if info.field_name == "webhook_global_order" and value != "none" and not others.get("order"):
            raise ValueError("none while ORDER is false: no worker delivers in order")
        return value


def _one_host(values: Mapping[str, Any]) -> bool:
    hosts = {values.get("server_host"), values.get("metrics_host")}
    return len(hosts) == 1 or bool(hosts & {"0.0.0.0", "::"})  # noqa: S104


SECRETS = frozenset({"AUTHENTICATION_API_KEY", "OPS_WEBHOOK_SECRET", "WEBHOOK_SECRET_KEY"})
IN_FILES = (
    *sorted(SECRETS),
    *("DATABASE_CONNECTION_URI", "EGRESS_PROXY", "HISTORY_DATABASE_URI", "INSTANCE_TOKENS_URI"),
    *("OPS_WEBHOOK_URL", "RABBITMQ_URI", "WEBHOOK_GLOBAL_URL"),
)
"""Settings that may hold a secret: <NAME>_FILE names a file with the value of each."""
VARIABLES = frozenset(name.upper() for name in Settings.model_fields if name != "webhook_events")
"""The variables that are read, apart from WEBHOOK_EVENTS_<NAME>."""


class SettingsError(Exception):
    """`problems` holds every one, each with its setting, its value (secrets masked) and what is allowed."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


def load(environ: Mapping[str, str], config: Path | None) -> tuple[Settings, list[str]]:
    """Settings and warnings from the environment over the file `config`. Raises SettingsError."""
    source = given.read(environ, config, VARIABLES, IN_FILES)
    values: dict[str, Any] = {n.lower(): v.value for n, v in source.values.items() if n in VARIABLES}
    problems = source.problems
    chosen = _chosen_events(source)
    try:
        settings = Settings.model_validate(values | {"webhook_events": chosen})
    except pydantic.ValidationError as error:
        problems += _explain(error, source)
    if problems:
        raise SettingsError(problems)
    if settings.webhook_global_enabled and not settings.webhook_events:
        source.warnings.append("WEBHOOK_GLOBAL_ENABLED is true, but no WEBHOOK_EVENTS_<NAME>: it gets nothing")
    source.warnings += (
        f"WEBHOOK_GLOBAL_FILTER: {text}" for text in filter_warnings(settings.webhook_global_filter or None)
    )
    source.warnings += (
        f"WEBHOOK_GLOBAL_MESSAGE_TYPES: {text}" for text in type_warnings(settings.webhook_global_message_types)
    )
    if settings.ops_webhook_secret and not settings.ops_webhook_url:
        source.warnings.append("OPS_WEBHOOK_SECRET is set, but no OPS_WEBHOOK_URL: it signs nothing")
    if settings.ops_webhook_url and settings.history != "all":
        source.warnings.append(_UNTOLD[settings.history])
    empty = [n for n in sorted(VARIABLES) if n not in source.values and n in environ and not environ[n].strip()]
    idle = [f"{n} is empty and counts as not set" for n in empty if getattr(settings, n.lower())]
    return settings, source.warnings + idle + ways_out.other_proxies(environ, settings.egress_proxy)


_UNTOLD = {
    "off": "OPS_WEBHOOK_URL hears with HISTORY=off of disabled webhooks only, not of failing ones and dead letters",
    "failures": "OPS_WEBHOOK_URL hears with HISTORY=failures of no webhook that fails or recovers: HISTORY=all does",
}


def _chosen_events(source: Reading) -> frozenset[str]:
    chosen = set()
    for name, item in source.values.items():
        try:
            if name not in VARIABLES and given.boolean(item.value):
                chosen.add(name.removeprefix(EVENTS))
        except ValueError as error:
            source.problems.append(_problem(name, item, str(error)))
    return frozenset(chosen)


def _explain(error: pydantic.ValidationError, source: Reading) -> list[str]:
    """A failed request timeout also fails the drain time made from it: only the cause is reported."""
    details = [d for d in error.errors(include_url=False) if d["type"] != "default_factory_not_called"]
    names = [str(d["loc"][0]).upper() for d in details]
    items = [source.values.get(n, Given(d["input"], "default")) for n, d in zip(names, details, strict=True)]
    contexts = [d.get("ctx", {}) for d in details]
    allowed = [str(c.get("error") or c.get("expected", "valid Unicode text")) for c in contexts]
    return [_problem(*parts) for parts in zip(names, items, allowed, strict=True)]


def _problem(name: str, item: Given, allowed: str) -> str:
    return f"{item.key or name}={masked(name, item.value)} ({item.origin}): must be {allowed}"


def masked(name: str, value: object) -> str:
    """For messages: nothing of a secret; of anything like a URL only scheme, host and port."""
    text = given.plain(value)
    if name in SECRETS:
        return repr(MASK)
    if name.endswith(("_URI", "_URL", "_PROXY")) or "://" in text or "@" in text:
        text = authority_alone(text)
    return repr(text if len(text) <= 60 else text[:59] + "…")
