"""What a reason of the history means, in a sentence for whoever looks at it. Pure."""

from collections.abc import Mapping

MEANINGS: Mapping[str, str] = {
    "ok": "The receiver answered 2xx",
    "no_webhook": "Nobody asked for this instance's events",
    "disabled": "The webhook is disabled",
    "event_not_enabled": "The webhook does not want this event",
    "webhook_gone": "The webhook was deleted while it waited",
    "duplicate": "The same event came over a second exchange",
    "filtered": "The webhook did not choose it",
    "stale": "It was older than the webhook's time to live",
    "superseded": "A newer one of its chat came first",
    "paused": "The webhook is paused: it is given back when that ends",
    "3xx": "The receiver redirects, which is not followed",
    "4xx": "The receiver refused it",
    "5xx": "The receiver answered that it has a fault",
    "timeout": "The receiver did not answer in time",
    "connect": "The receiver could not be connected to",
    "dns": "The receiver's name could not be resolved",
    "tls": "The receiver's certificate or TLS did not hold",
    "endpoint_busy": "As many attempts as the receiver may have are under way: it waits its turn",
    "circuit_open": "The receiver keeps failing: it is asked now and then, and gets this when it works again",
    "retry_after": "The receiver asked for a pause",
    "rate_limited": "The webhook's rate limit is reached: it waits its turn",
    "self_fault": "Nobody can be reached from here: the fault is the worker's network, and no receiver's",
    "config_unavailable": "The webhooks' database did not answer",
    "shutdown": "The worker was stopping",
    "internal": "A fault of the worker itself: its log has more",
    "handed_back": "RabbitMQ has it again",
    "replayed": "A replay sent it once more",
    "rejected": "The receiver refused it for good: trying again would not help",
    "gone": "The receiver answered 410: it does not want the webhook any more",
    "attempts_exhausted": "The last attempt failed",
    "expired": "It was tried for as long as deliveries are",
    "egress_refused": "The address is not allowed (EGRESS_ALLOW)",
    "bad_url": "The webhook's URL cannot be POSTed to",
    "bad_headers": "The webhook's headers cannot be sent",
    "too_large": "It was larger than the webhook takes",
    "too_large_for_broker": "RabbitMQ takes no message of its size",
    "invalid_event": "It was no event of Evolution's",
    "delivery_limit": "RabbitMQ gave it up: workers took it again and again without an end",
    "queue_policy": "A policy of RabbitMQ's took it out of its queue",
    "unknown": "Nothing in it says why",
}


FOR_GOOD = frozenset({"rejected", "gone"})
"""Reasons for which trying again would not help before somebody has mended something."""


def meaning(reason: str) -> str:
    """ "" for one that is not known here."""
    return MEANINGS.get(reason, "")
