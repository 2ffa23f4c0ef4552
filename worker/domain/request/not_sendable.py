"""Why no request can be made of a delivery."""

from typing import ClassVar

from worker.domain.outcome import DeadReason


class NotSendable(ValueError):
    """No request can be made of the delivery, now or later: a dead letter for `reason`, with the text as its error."""

    reason: ClassVar[DeadReason]


class BadHeaders(NotSendable):
    """The webhook's headers or secrets cannot be sent; the text names the header, never a value."""

    reason = DeadReason.BAD_HEADERS


class BodyTooLarge(NotSendable):
    """The body has more bytes than its webhook takes, without its media and thumbnails; the text has both numbers."""

    reason = DeadReason.TOO_LARGE


class NoNotice(NotSendable):
    """Somebody else published to our queue for a receiver of notices."""

    reason = DeadReason.INVALID_EVENT
