"""What a field's value must be beyond type and length. Each takes the text and returns it, or raises ValueError."""

from collections.abc import Mapping, Sequence
from difflib import get_close_matches

from worker.domain.choosing.choices import IGNORABLE, chat_name, type_name
from worker.domain.names import CHOOSABLE, COUNTED, KNOWN, SYNONYMS, canonical
from worker.domain.request.own_headers import header_problem
from worker.domain.request.signature import secret_key
from worker.domain.target import BadUrl, plain_url
from worker.domain.webhook import Webhook

RESEMBLANCE = 0.6
"""difflib's ratio below which a name is another one, and not a slip."""

SECRET_BYTES = range(24, 65)
"""Standard Webhooks 1.0: a symmetric secret has 24 to 64 bytes."""

EVENTS = (*sorted({*KNOWN, *SYNONYMS}), *sorted(CHOOSABLE - KNOWN))
"""Every name of an event or of a category that is taken, synonyms too; a slip means Evolution API's more often."""

SINGLE_EVENTS = tuple(name for name in EVENTS if canonical(name) in COUNTED)
"""Those without the names that are categories alone."""

_FEW = 3
"""Names that somebody is told whose word resembles none: nobody reads all seventy."""


def storable_text(text: str) -> str:
    """Any text that a database can hold."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("holds an unpaired surrogate, which no text can store") from None
    return text


def name(text: str) -> str:
    """Text that can stand in a log or a table."""
    if any(char < " " or char == "\x7f" for char in storable_text(text)):
        raise ValueError("holds a control character")
    return text


def url(text: str) -> str:
    """A URL that deliveries can be sent to."""
    try:
        plain_url(text)
    except BadUrl as error:
        raise ValueError(str(error).removeprefix("the webhook's URL ")) from None
    return storable_text(text)


def event(text: str) -> str:
    """An event in any spelling, or a category of Evolution Go's; returns its canonical name."""
    kind = canonical(text)
    if kind in CHOOSABLE:
        return kind
    raise ValueError(_no_event(kind, EVENTS))


def _no_event(kind: str, allowed: Sequence[str]) -> str:
    near = _nearest(kind[:64])
    if near is not None:
        return f"is not an event; the nearest is {near}"
    return f"is not an event; such are {', '.join(get_close_matches(kind[:64], allowed, _FEW, cutoff=0.0))}"


def ignorable(text: str) -> str:
    """What can be left out by its kind."""
    if text not in IGNORABLE:
        raise ValueError(f"is none of {', '.join(IGNORABLE)}")
    return text


def chat(text: str) -> str:
    """A chat; returns its canonical JID, or the phone number."""
    found = chat_name(text)
    if found is None:
        raise ValueError("is no JID (5511999999999@s.whatsapp.net, 1203630@g.us) and no phone number in digits")
    return found


def message_type(text: str) -> str:
    """A message type of Evolution's, known here or not."""
    if type_name(text) is None:
        raise ValueError("is no message type such as imageMessage")
    return text


def single_event(text: str) -> str:
    """As `event`, but no category: what holds for one event by its name."""
    kind = canonical(text)
    if kind in COUNTED:
        return kind
    if kind in CHOOSABLE:
        raise ValueError("is a category of Evolution Go's: name each event")
    raise ValueError(_no_event(kind, SINGLE_EVENTS))


def _nearest(kind: str) -> str | None:
    """The event that was probably meant: a slip in its name, or only its beginning."""
    close = get_close_matches(kind, EVENTS, n=1, cutoff=RESEMBLANCE)
    begun = [known for known in EVENTS if len(kind) > 1 and known.startswith(kind)]
    return next(iter(close + begun), None)


def secret(text: str) -> str:
    """A signing secret of Standard Webhooks."""
    if not text.startswith("whsec_") or not _decodes(text):
        raise ValueError("must be whsec_ followed by the base64 of 24 to 64 bytes")
    return text


def _decodes(text: str) -> bool:
    try:
        return len(secret_key(text)) in SECRET_BYTES
    except ValueError:
        return False


def headers(given: Mapping[str, str]) -> Mapping[str, str]:
    """Headers that can be sent (RFC 9110, section 5), each name once whatever its case."""
    found = [header_problem(Webhook("", "", headers=(pair,))) for pair in given.items()]
    lower = [header.lower() for header in given]
    found += [f"header {header!r} appears twice" for header in sorted(set(lower)) if lower.count(header) > 1]
    if any(found):
        raise ValueError("; ".join(filter(None, found)))
    return given
