"""What a message of a siding carries as AMQP headers, beside its delivery's past."""

from collections.abc import Mapping

from worker.broker.past_headers import PREFIX, Headers
from worker.domain.webhook import Endpoint
from worker.ordered.deciding.ports import Item, Kind, Stamp, Stored

_KIND, _EPOCH, _SERIAL, _USE = (f"{PREFIX}order-{name}" for name in ("kind", "epoch", "serial", "use"))
_INSTANCE, _WEBHOOK, _KEY = (f"{PREFIX}order-{name}" for name in ("instance", "webhook", "key"))
_ID, _BLOCK = (f"{PREFIX}order-{name}" for name in ("id", "block-ms"))


class NotOurs(ValueError):
    """Somebody else published to a siding."""


def stamped(stamp: Stamp, item: Item | None) -> Headers:
    found: Headers = {
        _KIND: stamp.kind.value,
        _EPOCH: stamp.epoch,
        _SERIAL: stamp.serial,
        _USE: stamp.use,
    }
    if stamp.endpoint is not None:
        found |= {_INSTANCE: stamp.endpoint.instance, _WEBHOOK: stamp.endpoint.webhook_id}
    if item is not None:
        found |= {_KEY: item.key, _ID: item.id, _BLOCK: round(item.block_seconds * 1000)}
    return found


def stored_in(headers: Mapping[str, object]) -> Stored:
    """Raises NotOurs."""
    try:
        stamp = Stamp(
            Kind(_text(headers, _KIND)),
            _whole(headers, _EPOCH),
            _whole(headers, _SERIAL),
            _whole(headers, _USE),
            Endpoint(_text(headers, _INSTANCE), _text(headers, _WEBHOOK)) if _WEBHOOK in headers else None,
        )
        if stamp.kind is not Kind.EVENT:
            return Stored(stamp, "", "", 0.0)
        return Stored(stamp, _text(headers, _ID), _text(headers, _KEY), _whole(headers, _BLOCK) / 1000)
    except (KeyError, ValueError, UnicodeDecodeError) as error:
        raise NotOurs(f"a message of a siding without its headers: {error!r}") from None


def _text(headers: Mapping[str, object], name: str) -> str:
    match headers[name]:
        case str(text):
            return text
        case bytes(raw):
            return raw.decode()
    raise ValueError(name)


def _whole(headers: Mapping[str, object], name: str) -> int:
    match headers[name]:
        case bool():
            raise ValueError(name)
        case int(number):
            return number
    raise ValueError(name)
