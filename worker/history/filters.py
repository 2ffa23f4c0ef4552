"""By what the history can be asked: the one list that the command line, the API and its description are made of."""

from typing import NamedTuple


class Filter(NamedTuple):
    """`text` reads on from "rows" ("rows of this instance"); `placeholder` stands for a value in a command's help."""

    placeholder: str
    text: str


FILTERS = {
    "instance": Filter("NAME", "of this instance"),
    "webhook": Filter("ID", "for the webhook of this id (`default`, `global`, `notice:...`)"),
    "event": Filter("NAME", "of this event, in any spelling: messages.upsert, MESSAGES_UPSERT"),
    "chat": Filter("CHAT", "about this chat: its address, or a phone number in digits"),
    "outcome": Filter("OUTCOME", "that ended so: Delivered, Skipped, Retried, Parked or DeadLettered"),
    "reason": Filter("REASON", "for this reason, as docs/outcomes.md has them"),
    "status": Filter("CODE", "answered with this status"),
    "since": Filter("WHEN", "since an ISO time, a time of day (both UTC unless they say) or an age: 90s 30m 2h 3d"),
    "until": Filter("WHEN", "before that, written likewise"),
    "id": Filter("ID", "of this delivery (the `webhook-id` header)"),
}

LONGEST = {"instance": 255, "webhook": 80, "event": 255, "id": 128}
"""Characters of a name. A webhook's is that of a receiver of notices, too: `notice:` and an id."""
