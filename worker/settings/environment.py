"""What the operator wrote: environment over file, misspelt names, and the readers of single values.

A reader turns what was written (text, or a TOML value) into the typed value; its ValueError says what is
allowed, worded to follow "must be". Nothing here knows which settings exist: `read` gets their names.
"""

import difflib
import ipaddress
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

from worker.basics.address import Address
from worker.broker.address import broker_address
from worker.domain.names import CHOOSABLE, canonical
from worker.settings.file import as_key, leaves
from worker.settings.secret_files import SUFFIX, secret_in
from worker.stores.database import Database, parse
from worker.webhooks import checks

T = TypeVar("T")

EVENTS = "WEBHOOK_EVENTS_"
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_SLIP, _RESEMBLANCE = 0.85, 0.6  # difflib ratios: a slip stops the start; a resemblance is only worth a hint
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")
_UNITS: dict[str, int] = {"": 1, "B": 1, **{f"{p}B": 1000**n for n, p in enumerate("KMGT", 1)}}
_UNITS |= {f"{p}IB": 1024**n for n, p in enumerate("KMGT", 1)}
# Injected into every pod for every service: https://kubernetes.io/docs/concepts/services-networking/service/
_SERVICE_LINK = re.compile(
    r".+_SERVICE_HOST|.+_SERVICE_PORT(_[A-Z0-9_]+)?|.+_PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?"
)
# Evolution's own variables (1.x and 2.x) that begin like ours and mean nothing here.
_EVOLUTION = re.compile(
    r"RABBITMQ_(ENABLED|MODE|FRAME_MAX|GLOBAL_.+|EVENTS_.+)|SERVER_(TYPE|URL|NAME|DISABLE_.+)"
    r"|DATABASE_(ENABLED|PROVIDER|CONNECTION_CLIENT_NAME|CONNECTION_DB_PREFIX_NAME|BOUNCER_.+|SAVE_.+|DELETE_.+)"
    r"|WEBHOOK_EVENTS_ERRORS(_WEBHOOK)?|AUTHENTICATION_(TYPE|EXPOSE_IN_FETCH_INSTANCES|JWT_.+|INSTANCE_.+)"
    r"|CACHE_(REDIS|LOCAL)_.+|LOG_(COLOR|BAILEYS)|METRICS_(AUTH_REQUIRED|USER|PASSWORD|ALLOWED_IPS)"
)


@dataclass(frozen=True, slots=True)
class Given:
    """One value as written, and where: `environment` or the path of the file, and there under which key."""

    value: object
    origin: str
    key: str = ""


@dataclass(slots=True)
class Reading:
    """Values by variable name (events as WEBHOOK_EVENTS_<canonical name>), and what is wrong with names."""

    values: dict[str, Given] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def put(self, name: str, given: Given) -> None:
        """Synonyms and TOML paths can name one setting twice, but not differently."""
        if self.values.setdefault(name, given).value != given.value:
            self.problems.append(f"{given.key or name} ({given.origin}): is given twice with different values")


def read(environ: Mapping[str, str], config: Path | None, names: Iterable[str], secrets: Iterable[str] = ()) -> Reading:
    """Merge both sources. Never raises: what cannot be read or is no setting is a problem or a warning.

    Each of `secrets` may stand in a file that <NAME>_FILE names, in either source.
    """
    known = frozenset(names) | {name + SUFFIX for name in secrets}
    file = _from_file(config, known) if config is not None else Reading()
    env = _from_environment(environ, known)
    for reading in (file, env):
        _read_secrets(reading, secrets)
    return Reading(file.values | env.values, file.problems + env.problems, file.warnings + env.warnings)


def _read_secrets(reading: Reading, names: Iterable[str]) -> None:
    """Puts the content of a <NAME>_FILE in the place of the setting."""
    for name in names:
        item = reading.values.pop(name + SUFFIX, None)
        if item is None:
            continue
        key = item.key or name + SUFFIX
        if name in reading.values:
            other = reading.values[name].key or name
            reading.problems.append(f"{key} ({item.origin}): must not be set beside {other}: give one of them")
            continue
        try:
            reading.values[name] = Given(secret_in(item.value), item.origin, key)
        except ValueError as error:
            reading.problems.append(f"{key} ({item.origin}): must be {error}")


def _from_environment(environ: Mapping[str, str], known: frozenset[str]) -> Reading:
    reading = Reading()
    for name in sorted(environ):
        value = environ[name]
        if _injected(name, value) or (name == "no_proxy" and "NO_PROXY" in environ):
            continue
        setting = _resolve(name, known)
        if setting is None:
            _judge_unknown(name, known, reading)
        elif value.strip():
            reading.put(setting, Given(value, "environment"))
    return reading


def _injected(name: str, value: str) -> bool:
    """By Kubernetes or for Evolution. METRICS_PORT=tcp://10.0.0.1:9464 links to a service named `metrics`."""
    link = name.endswith("_PORT") and value.startswith(("tcp://", "udp://", "sctp://"))
    return link or bool(_SERVICE_LINK.fullmatch(name) or _EVOLUTION.fullmatch(name))


def _resolve(name: str, known: frozenset[str]) -> str | None:
    if name in known:
        return name
    if name == "no_proxy":  # as curl reads it
        return "NO_PROXY"
    event = canonical(name.removeprefix(EVENTS)) if name.startswith(EVENTS) else ""
    return EVENTS + event if event in CHOOSABLE else None


def _judge_unknown(name: str, known: frozenset[str], reading: Reading) -> None:
    ours = known - {"NO_PROXY"}  # a NO_COLOR is not meant for us
    upper, firsts = name[:80].upper(), {setting.partition("_")[0] for setting in ours}
    if upper.startswith(EVENTS):
        reading.problems.append(f"{_short(name)}: is not an event that can be chosen{_hint(upper, known)}")
    elif not difflib.get_close_matches(upper.partition("_")[0], firsts, 1, _RESEMBLANCE):
        return  # a cheap sieve before each setting is compared
    elif difflib.get_close_matches(upper, known, 1, _SLIP):
        reading.problems.append(f"{_short(name)}: is not a setting{_hint(upper, known)}")
    elif upper.partition("_")[0] in firsts:
        reading.warnings.append(f"{_short(name)}: is no setting of ours, ignored{_hint(upper, known)}")


def _hint(upper: str, known: frozenset[str], path: tuple[str, ...] = ()) -> str:
    """`path`: where it stands in the file, whose spelling the answer then has."""
    choices = {EVENTS + e for e in CHOOSABLE} if upper.startswith(EVENTS) else known
    beginning_alike = [choice for choice in choices if choice.partition("_")[0] == upper.partition("_")[0]]
    nearest = difflib.get_close_matches(upper, beginning_alike, 1, _RESEMBLANCE)
    nearest = nearest or difflib.get_close_matches(upper, choices, 1, _RESEMBLANCE)
    return f"; did you mean {as_key(nearest[0], path) if path else nearest[0]}?" if nearest else ""


def _from_file(config: Path, known: frozenset[str]) -> Reading:
    reading = Reading()
    try:
        found = tuple(leaves(config))
    except (OSError, ValueError, RecursionError) as error:
        reason = f": {error.strerror}" if isinstance(error, OSError) else f" as TOML: {error}"
        reading.problems.append(f"{config}: cannot be read{reason}")
        return reading
    for path, value in found:
        name = "_".join(path).upper()
        setting = _resolve(name, known)
        if setting is not None:
            reading.put(setting, Given(value, str(config), _short(".".join(path))))
        elif value != {} or not any(k.startswith(f"{name}_") for k in (*known, EVENTS)):
            dotted, hint = _short(".".join(path)), _hint(name[:80], known, path)
            reading.problems.append(f"{dotted} ({config}): is not a setting{hint}")
    return reading


def _short(text: str) -> str:
    return (text if len(text) <= 80 else text[:79] + "…").encode("unicode_escape").decode("ascii")


def plain(value: object) -> str:
    """As text, for readers and messages; a hexadecimal number or a table can be too much for str()."""
    if isinstance(value, dict) or (isinstance(value, int) and value.bit_length() > 256):
        return "a table" if isinstance(value, dict) else f"a number of {value.bit_length()} bits"
    return str(value).strip()


def boolean(value: object) -> bool:
    found = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}.get(word(value))
    if found is None:
        raise ValueError("true or false (also 1, 0, yes, no)")
    return found


def flag_or_none(value: object) -> bool | None:
    """A boolean, or None for empty text: that nothing was chosen says something, too."""
    return None if value in (None, "") else boolean(value)


def number(kind: type[float], low: float, high: float, above: bool = False) -> Callable[[object], float]:
    """Reader of `low` to `high`; `above` leaves `low` itself out."""
    pattern, called = (r"\d{1,18}", "whole number") if kind is int else (r"\d{1,18}(\.\d{1,18})?", "number")

    def parse(value: object) -> float:
        if re.fullmatch(pattern, plain(value), re.ASCII):
            found = kind(plain(value))
            if low < found <= high or (found == low and not above):
                return found
        raise ValueError(f"a {called} {f'above {low} and at most' if above else f'from {low} to'} {high}")

    return parse


def size(value: object) -> int:
    """Bytes from 268435456, 256MiB, 256MB (10^6) or 1GiB."""
    match = re.fullmatch(r"(\d{1,15}) ?([A-Z]{0,3})", plain(value).upper(), re.ASCII)
    unit = _UNITS.get(match[2]) if match else None
    if match is None or unit is None or not 1 <= int(match[1]) * unit <= 1 << 50:
        raise ValueError("a number of bytes above 0, plain or with a unit: 268435456, 256MiB, 256MB, 1GiB")
    return int(match[1]) * unit


def archive_size(value: object) -> int:
    """As `size`, from 1 MiB on: segments of a 64th of less would be files of a few messages."""
    found = size(value)
    if found < 1 << 20:
        raise ValueError("a number of bytes from 1MiB on, plain or with a unit: 512MiB, 1GiB")
    return found


def word(value: object) -> str:
    return plain(value).lower().encode("ascii", "replace").decode()


def text(allowed: str, pattern: str = r".*", longest: int = 4096) -> Callable[[object], str]:
    """Reader of text without control characters, of at most `longest` bytes, that matches `pattern` whole."""

    def parse(value: object) -> str:
        valid = isinstance(value, str) and not _UNPRINTABLE.search(value)
        if not valid or len(str(value).encode()) > longest or not re.fullmatch(pattern, plain(value)):
            raise ValueError(f"{allowed}: text of at most {longest} bytes without control characters")
        return plain(value)

    return parse


def entries(value: object) -> tuple[str, ...]:
    """Items of a comma-separated text or of an array. Commas alone are a slip: they empty no list."""
    found = loose_entries(value)
    if isinstance(value, str) and value.strip() and not found:
        raise ValueError("a list with something between its commas; '' stands for none")
    return found


def loose_entries(value: object) -> tuple[str, ...]:
    """The same, where commas alone are nothing: as others read the variable."""
    items = value.split(",") if isinstance(value, str) else value
    if not isinstance(items, list | tuple | set | frozenset) or {*map(type, items)} & {bool, dict, list}:
        raise ValueError("a list: comma-separated in the environment, an array in the file")
    if _UNPRINTABLE.search("".join(map(plain, items))):
        raise ValueError("a list of texts without control characters")
    return tuple(filter(None, map(plain, items)))


def network(entry: object) -> Network:
    try:
        return ipaddress.ip_network(plain(entry))
    except ValueError as error:
        raise ValueError(f"networks such as 10.0.0.0/8 or fd00::/8: {str(error)[:100]}") from None


def database(value: object) -> Database:
    """Reader of DATABASE_CONNECTION_URI."""
    return value if isinstance(value, Database) else parsed_by(parse, value)


def history_database(value: object) -> Database:
    """Reader of HISTORY_DATABASE_URI."""
    return value if isinstance(value, Database) else replace(database(value), setting="HISTORY_DATABASE_URI")


def tokens_database(value: object) -> Database | None:
    """Reader of INSTANCE_TOKENS_URI; "" is none."""
    if value in (None, "") or isinstance(value, Database):
        return value if isinstance(value, Database) else None
    found = replace(database(value), setting="INSTANCE_TOKENS_URI")
    if found.dialect == "sqlite":
        raise ValueError("Evolution's postgresql:// or mysql://, or empty")
    return found


def broker(value: object) -> Address:
    """Reader of RABBITMQ_URI."""
    return value if isinstance(value, Address) else parsed_by(broker_address, value)


def receiver(value: object) -> str:
    """Reader of WEBHOOK_GLOBAL_URL, by the rules of a webhook's URL; "" is none."""
    found = text("an http:// or https:// URL with a host")(value)
    try:
        return found and checks.url(found)
    except ValueError as error:
        raise ValueError(f"an http:// or https:// URL with a host: it {error}") from None


def signing_secret(value: object) -> str:
    """Reader of OPS_WEBHOOK_SECRET; "" is none."""
    allowed = "whsec_ followed by the base64 of 24 to 64 bytes"
    found = text(allowed)(value)
    try:
        return found and checks.secret(found)
    except ValueError:
        raise ValueError(allowed) from None


def parsed_by(parser: Callable[[str], T], value: object) -> T:
    """Without the "must be" that such a parser's error begins with."""
    found = text("a URI")(value)
    try:
        return parser(found)
    except ValueError as error:
        raise ValueError(str(error).removeprefix("must be ")) from None
