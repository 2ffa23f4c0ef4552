"""What all requests of a webhook have in common, made at the first of them and kept with the webhook.

Found part by part in tables (URL, headers, secret, destination), it cost 3 % of a delivery, and with 10,000 instances a
quarter of the cache misses that they have beyond ten.
"""

from collections.abc import Sequence
from weakref import WeakValueDictionary

from worker.domain.request.hmac_key import HmacKey
from worker.domain.request.json_text import destination_member
from worker.domain.request.not_sendable import BadHeaders
from worker.domain.request.own_headers import header_problem, own_lines_of
from worker.domain.request.signature import signing_key
from worker.domain.target import SILENT_PREFIX, BadUrl, Target, parsed, plain_url
from worker.domain.webhook import Tls, Webhook, valid


class Template:
    """`target`: where every event goes, None: each kind has its own path, or the URL is bad. `destination`: what the
    body of an event says it is, for a webhook of an instance: the URL without the event's path; `member` has it as
    JSON. `own`: the webhook's headers as text, and whether that is plain; None: a part of them is made anew for each
    request. `problem`: why its headers cannot be sent. `slims` and `tls` are the webhook's.
    """

    __slots__ = (
        "__weakref__",
        "_keys",
        "_old_until",
        "destination",
        "member",
        "own",
        "problem",
        "slims",
        "target",
        "tls",
    )

    def __init__(self, webhook: Webhook) -> None:
        try:
            self.target: Target | None = None if webhook.by_events else parsed(plain_url(webhook.url))
        except BadUrl:
            self.target = None
        self.destination = webhook.url.removeprefix(SILENT_PREFIX)
        self.member = destination_member(self.destination)
        self.problem = header_problem(webhook)
        self.own = own_lines_of(webhook)
        self.slims = webhook.slims
        self.tls: Tls | None = webhook.tls
        self._keys = tuple(map(_key, webhook.secrets))
        self._old_until = webhook.old_secret_until

    def keys(self, now: float) -> "Sequence[HmacKey | _NoKey]":
        """Those that sign at `now`, Unix seconds."""
        return valid(self._keys, self._old_until, now)


class _NoKey:
    """In the place of a secret that cannot be one: it is told where it would sign."""

    def __init__(self, error: BadHeaders) -> None:
        self._error = str(error)

    def digest(self, _prefix: bytes, _content: bytes, /) -> bytes:
        raise BadHeaders(self._error)


_Asked = tuple[object, ...]
_templates: WeakValueDictionary[_Asked, Template] = WeakValueDictionary()
"""Webhooks that are set up alike, as those of a platform's instances are, share one as long as one of them is known."""


def template_of(webhook: Webhook) -> Template:
    """In any thread: two that make it at once make the same."""
    try:
        template: Template = webhook.template
    except AttributeError:
        asked = _asked(webhook)
        found = _templates.get(asked)
        if found is None:
            found = _templates[asked] = Template(webhook)
        object.__setattr__(webhook, "template", found)  # it is frozen, and this is no part of what it says
        return found
    return template


def _asked(webhook: Webhook) -> _Asked:
    """All that a template is made of."""
    return (
        webhook.url,
        webhook.by_events,
        webhook.headers,
        webhook.secrets,
        webhook.old_secret_until,
        webhook.slims,
        webhook.tls,
    )


def _key(secret: str) -> HmacKey | _NoKey:
    try:
        return signing_key(secret)
    except BadHeaders as error:
        return _NoKey(error)
