"""The POST of one attempt: body, headers, signature."""

import re
from collections.abc import Mapping
from functools import lru_cache
from urllib.parse import quote

import msgspec

from worker import __version__
from worker.domain.event import Event
from worker.domain.notices.formats import body_of
from worker.domain.notices.receivers import NoticeReceiver
from worker.domain.request.body import body, slim_body
from worker.domain.request.header_text import HeaderText, lines_of
from worker.domain.request.not_sendable import BadHeaders, NoNotice
from worker.domain.request.own_headers import REPLAY, header_problem, own_headers
from worker.domain.request.signature import secret_key, signature
from worker.domain.request.template import Template, template_of
from worker.domain.routing import Delivery
from worker.domain.target import BadUrl, Target, target_of
from worker.domain.webhook import Tls, Webhook

USER_AGENT = f"evolution-webhook-worker/{__version__}"

_ALWAYS = lines_of({"content-type": "application/json", "user-agent": USER_AGENT})


class Request(msgspec.Struct, frozen=True):
    """One POST, ready to send. Any part of it may hold a secret, so none appears in a repr.

    `tls`: what its connection must be made with; None: nothing of the webhook's own.
    """

    target: Target
    headers: Mapping[str, str]
    body: bytes
    tls: Tls | None = None

    def __repr__(self) -> str:
        return "Request()"

    @property
    def url(self) -> str:
        return self.target.url


def build(delivery: Delivery, now: float, *, forward_apikey: bool | None = None, replay: bool = False) -> Request:
    """The request of the next attempt; `now` is Unix time in seconds (signature and token are fresh each time).

    `forward_apikey` True: the body keeps the secret that the message carries, False: it loses it, None: Evolution API's
    `apikey` stays and Evolution Go's `instanceToken` is dropped. `replay`: somebody asked for it. Raises NotSendable.
    """
    event, webhook = delivery.event, delivery.webhook
    template = template_of(webhook)
    if template.problem:
        raise BadHeaders(template.problem)
    if isinstance(webhook, NoticeReceiver):
        content = _notice(event, webhook)
    else:
        member = template.member if delivery.destination is template.destination else None
        content = body(event, delivery.destination, forward_apikey=forward_apikey, member=member)
        if template.slims:
            content = slim_body(content, delivery, forward_apikey=forward_apikey)
    return Request(delivery.target, _headers(delivery, template, content, now, replay=replay), content, template.tls)


def _headers(delivery: Delivery, template: Template, content: bytes, now: float, *, replay: bool) -> HeaderText:
    event, webhook = delivery.event, delivery.webhook
    stamp, signed, of_instance = str(int(now)), "", ""
    keys = template.keys(now)
    if keys:
        signed = f"webhook-signature: {signature(keys, delivery.id, stamp, content)}\r\n"
    if webhook.instance:  # Evolution 2.4 sends neither to the global webhook
        of_instance = f"x-timestamp: {int(now * 1000)}\r\n"
        instance_id = event.instance_id or webhook.instance_id
        if instance_id is not None:
            of_instance += f"x-instance-id: {_percent_encoded(instance_id)}\r\n"
    own, plain = template.own or (lines_of(own_headers(webhook, int(now))), False)
    asked_for = f"{REPLAY}: true\r\n" if replay else ""
    text = (
        f"{own}{_ALWAYS}webhook-id: {delivery.id}\r\nwebhook-timestamp: {stamp}\r\n{signed}"
        f"x-instance-name: {_percent_encoded(event.instance)}\r\nx-event-type: {_encoded_name(event.name)}\r\n"
        f"{of_instance}webhook-attempt: {delivery.attempt}\r\n{asked_for}"
    )
    return HeaderText(text, plain=plain)


def _notice(event: Event, webhook: NoticeReceiver) -> bytes:
    """Raises NoNotice."""
    try:
        return body_of(event, webhook.format)
    except ValueError as error:
        raise NoNotice(str(error)) from None


def problem_with(webhook: Webhook) -> str | None:
    """Why no delivery of the webhook can be sent, as its dead letters say it; None: each can be."""
    try:
        target = target_of(webhook.url)
        for secret in webhook.secrets:
            secret_key(secret)
    except (BadUrl, BadHeaders) as error:
        return str(error)
    return header_problem(webhook) if target.path is not None else "the HTTP client cannot use the webhook's URL"


_UNRESERVED = re.compile(r"[\w.~-]*+", re.ASCII)  # RFC 3986, 2.3


def _percent_encoded(text: str) -> str:
    return text if _UNRESERVED.fullmatch(text) else quote(text, safe="")


_encoded_name = lru_cache(maxsize=1024)(_percent_encoded)
"""Of events: the same few all day."""
