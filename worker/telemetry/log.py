"""Log lines: JSON (one object a line) or text, on standard error; one line for each delivery."""

import asyncio
import json
import logging
import sys
import time
from contextlib import suppress
from typing import TextIO

import orjson

from worker.basics.moments import iso_with_offset
from worker.basics.printable import printable
from worker.domain.outcome import DeadLettered, Delivered, Parked, ParkReason, Skipped, SkipReason
from worker.domain.record import Record

GATHER_SECONDS = 0.010

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_deliveries = logging.getLogger("worker.delivery")


def configure(level: str, layout: str) -> None:
    """`level` is a name of logging's, `layout` "json" or "text"."""
    handler = _JsonHandler(sys.stderr) if layout == "json" else logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Json() if layout == "json" else _Text())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    # A broken connection is logged once, in our words, by the supervisor.
    logging.getLogger("aio_pika").setLevel(logging.CRITICAL)
    logging.getLogger("aiormq").setLevel(logging.CRITICAL)


def tells_delivered() -> bool:
    """Whether deliveries that went as wanted have their line."""
    return _deliveries.isEnabledFor(logging.DEBUG)


def delivery(record: Record) -> None:
    """The canonical line of one delivery: debug for what went as wanted, info or warning for the rest."""
    level = _level(record)
    if not _deliveries.isEnabledFor(level):
        return
    handlers = logging.getLogger().handlers
    if len(handlers) == 1 and isinstance(handlers[0], _JsonHandler):
        handlers[0].gather(level, record)
    else:
        _deliveries.log(level, "delivery", extra=_delivery_facts(record))


def _delivery_facts(record: Record) -> dict[str, object]:
    outcome = record.outcome
    facts: dict[str, object] = {
        "id": record.id,
        "instance": record.instance,
        "event": record.event,
        "webhook": record.webhook,
        "outcome": type(outcome).__name__,
        "reason": outcome.reason.value,
        "attempt": record.attempt,
        "status": record.status,
        "seconds": round(record.seconds, 3),
    }
    return facts | {name: value for name in ("delay", "error") if (value := getattr(outcome, name, None))}


_AS_CHOSEN = frozenset(
    {
        *(SkipReason.NO_WEBHOOK, SkipReason.EVENT_NOT_ENABLED, SkipReason.DISABLED),
        *(SkipReason.FILTERED, SkipReason.STALE, SkipReason.SUPERSEDED),
    }
)


def _level(record: Record) -> int:
    match record.outcome:
        case Delivered():
            return logging.DEBUG
        case Skipped(reason=reason) if reason in _AS_CHOSEN:
            # Filtering is the commonest end of an event: a line for each at info would drown the others.
            return logging.DEBUG
        case DeadLettered() | Parked(reason=ParkReason.CONFIG_UNAVAILABLE):
            return logging.WARNING
        case _:
            return logging.INFO


def _facts(record: logging.LogRecord) -> dict[str, object]:
    return {key: value for key, value in vars(record).items() if key not in _STANDARD}


def _line(created: float, level: str, logger: str, message: str) -> dict[str, object]:
    return {
        "time": iso_with_offset(created),
        "level": level.lower(),
        "logger": logger,
        "message": message,
    }


def _dumped(line: dict[str, object]) -> str:
    try:
        return orjson.dumps(line, default=str).decode()
    except TypeError:  # an unpaired surrogate, as names in a database or a file's path can have
        return json.dumps(line, default=str)


class _JsonHandler(logging.StreamHandler[TextIO]):
    """Takes deliveries past logging's records, and those of GATHER_SECONDS together: 3 us a line instead of 22, where
    each parking has one. A process that is killed takes the lines of that time with it."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream)
        self._gathered: list[tuple[float, int, Record]] = []

    def gather(self, level: int, record: Record) -> None:
        """In the event loop's thread; without a loop, the line is written at once."""
        self._gathered.append((time.time(), level, record))
        if len(self._gathered) != 1:
            return
        try:
            asyncio.get_running_loop().call_later(GATHER_SECONDS, self.flush)
        except RuntimeError:
            self.flush()

    def emit(self, record: logging.LogRecord) -> None:
        self.flush()
        super().emit(record)

    def flush(self) -> None:
        self.acquire()  # other threads log too, and write first what was gathered before
        try:
            with suppress(OSError, ValueError):  # a log that nobody can take must not stop deliveries
                self._write()
                super().flush()
        finally:
            self.release()

    def _write(self) -> None:
        gathered = self._gathered[:]
        del self._gathered[: len(gathered)]  # what is added meanwhile stays, without a lock for each line
        if gathered:
            self.stream.write("".join([_delivery_line(*each) + self.terminator for each in gathered]))


def _delivery_line(at: float, level: int, record: Record) -> str:
    return _dumped(_line(at, logging.getLevelName(level), _deliveries.name, "delivery") | _delivery_facts(record))


class _Json(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line = _line(record.created, record.levelname, record.name, record.getMessage()) | _facts(record)
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return _dumped(line)


class _Text(logging.Formatter):
    """One line a record, whatever names stand in it; a trace follows indented, so that none of it looks like one."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        record.message, record.asctime = record.getMessage(), self.formatTime(record)
        facts = " ".join(f"{key}={value}" for key, value in _facts(record).items() if value is not None)
        lines = [printable(f"{self.formatMessage(record)} {facts}".rstrip())]
        trace = self.formatException(record.exc_info) if record.exc_info else ""
        below = [text for text in (trace, record.stack_info) if text]
        return "\n".join([*lines, *(f"  {printable(line)}" for text in below for line in text.split("\n"))])
