"""A notice: what the worker tells an owner or the operator of a webhook, and how it travels as an event of its own."""

import re
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256

import msgspec

from worker.basics.masking import text_without_credentials
from worker.basics.moments import iso
from worker.domain.event import Event
from worker.domain.notices.remedies import command, of_webhook
from worker.domain.past import Past

CARRIER = "notices"
"""In the past of a notice, where other events have the routing key by which Evolution published them."""

LONGEST_TEXT = 1000
"""Characters of a reason and of a receiver's answer; the history has the rest."""


class Kind(StrEnum):
    """What can be told. The values are the body's `type`, by which receivers of notices distinguish them."""

    FAILING = "webhook.failing"
    RECOVERED = "webhook.recovered"
    DISABLED = "webhook.disabled"
    PAUSED = "webhook.paused"
    DEAD = "webhook.dead"
    SELF_FAULT = "worker.self_fault"
    BACKLOG = "worker.backlog"
    SILENT = "instance.silent"
    TEST = "notice.test"


class Sample(msgspec.Struct, frozen=True):
    """One delivery that shows what the notice means: its `webhook-id`, its event's canonical name, and how its
    receiver answered (None: it did not)."""

    id: str
    event: str | None
    status: int | None
    answer: str | None


class Data(msgspec.Struct, frozen=True):
    """The body's `data`. `since` is RFC 3339, `fix` a command that works when it is pasted; None: not known, or there
    is none."""

    instance: str | None
    webhook: str | None
    since: str | None
    reason: str
    sample: Sample | None
    fix: str | None


@dataclass(frozen=True, slots=True)
class Notice:
    """`at` and `since` are Unix seconds. `instance` "": that of the global webhook, or an event named none. `webhook`
    is an id, None: no webhook was found for an event, or it is about the worker or the instance."""

    kind: Kind
    at: float
    instance: str
    webhook: str | None
    reason: str
    since: float | None = None
    sample: Sample | None = None

    @property
    def event_id(self) -> str:
        """The same whoever tells it, and however often: a receiver's `webhook-id` comes from it (64 hex digits).

        What it is about and since when: that which a notice is told once for.
        """
        since = self.at if self.since is None else self.since
        named = (self.kind.value, self.instance, self.webhook or "", str(int(since * 1000)))
        return sha256("\0".join(("notice", *named)).encode()).hexdigest()

    @property
    def data(self) -> Data:
        sample = self.sample
        if sample is not None and sample.answer is not None:
            sample = msgspec.structs.replace(sample, answer=_shown(sample.answer))
        since = None if self.since is None else iso(self.since, "seconds")
        instance = self.instance or None
        return Data(instance, self.webhook, since, _shown(self.reason), sample, fix(self))

    def message(self) -> bytes:
        """As Evolution writes an event, so that it is delivered like one. Without an instance it is the event of one
        called `worker`: an event has one."""
        fields = {
            "event": self.kind.value,
            "instance": self.instance or "worker",
            "data": self.data,
            "date_time": iso(self.at),
        }
        return msgspec.json.encode(fields)

    def past(self, receiver: str) -> Past:
        """Of its delivery to the receiver of notices with this id (receivers.py)."""
        return Past(self.event_id, self.at, "", CARRIER, receiver)


def notice_of_test(instance: str, webhook: str | None, now: float) -> Notice:
    """Of which nothing follows, for whoever wants to see whether an address is right. `now` is Unix seconds."""
    return Notice(Kind.TEST, now, instance, webhook, "somebody asked for a test; nothing is wrong", now)


def data_in(event: Event) -> Data:
    """Raises ValueError: the event is no notice of ours."""
    try:
        return msgspec.json.decode(bytes(event.fields.get("data", b"")), type=Data)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ValueError(f"the event is no notice: {error}") from None


def fix(notice: Notice) -> str | None:
    """The command with which to begin, for a shell."""
    match notice.kind:
        case Kind.DISABLED if notice.instance:
            return of_webhook("set", notice.instance, notice.webhook, "--enabled")
        case Kind.PAUSED:
            return of_webhook("resume", notice.instance, notice.webhook)
        case Kind.FAILING if notice.instance:
            return of_webhook("test", notice.instance, notice.webhook)
        case Kind.DEAD | Kind.RECOVERED:
            instance = (f"--instance={notice.instance}",) if notice.instance else ()
            if notice.webhook is None:  # nobody could be found for it: sent again, it would come back
                return command("dead", "list", *instance)
            return command("dead", "redrive", *instance, f"--webhook={notice.webhook}")
        case Kind.SILENT:
            return command("history", "list", f"--instance={notice.instance}", "--since=24h")
    return command("doctor")


_QUERY = re.compile(r"(https?://[^\s?#\"'<>]*)[?#][^\s\"'<>]*", re.IGNORECASE)


def _shown(text: str) -> str:
    """Short, encodable, and URLs in it without credentials, query and fragment, each of which may hold a secret."""
    bare = _QUERY.sub(r"\1?…", text_without_credentials(text))
    cut = bare if len(bare) <= LONGEST_TEXT else bare[: LONGEST_TEXT - 1] + "…"
    return cut.encode(errors="replace").decode()
