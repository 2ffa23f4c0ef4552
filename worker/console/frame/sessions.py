"""Sessions: a sealed cookie that any replica can open, which ends by itself, and whose key is checked at each request.
What a page is to say once, after a change, travels to it likewise.

The cookie holds what the person logged in with, sealed by a key that is derived from AUTHENTICATION_API_KEY, so that a
changed key ends all sessions, and a token that Evolution has taken back ends its owner's.
Trade-off: nothing is stored, so a log-out is remembered by the replica that saw it; at the others a stolen copy of the
cookie is good until SESSION_SECONDS are over.
"""

import base64
import hashlib
import hmac
import secrets
from collections import OrderedDict

import msgspec
from cryptography.fernet import Fernet, InvalidToken
from msgspec.structs import replace
from yarl import URL

from worker.api.auth import Authentication, Caller
from worker.basics.clock import Clock

SESSION_SECONDS = 8 * 3600
"""A working day."""

MOST_ENDED = 10_000
"""Log-outs that are remembered."""

SAID_SECONDS = 60
"""From a change to the page that tells of it: a redirect's time."""

MOST_BYTES = 1500
"""Of what is told: sealed it is 2 KiB, and a proxy may take no more than 4 KiB of headers."""

_SALT = b"webhook-worker console"
_COST = 2**14
"""scrypt's N, 50 ms: a cookie is no way to guess a weak key at speed."""


class Session(msgspec.Struct, frozen=True):
    """`token`: an instance's own; "" for the operator, whose key the seal stands for."""

    id: str
    token: str


class Said(msgspec.Struct, frozen=True):
    """What a page says once, after something was done: `details` are the receiver's words, `secret` a new one."""

    tone: str
    text: str
    details: str | None = None
    notes: tuple[str, ...] = ()
    secret: str | None = None


class _Told(msgspec.Struct, frozen=True):
    """`page`: which one may say it, in whichever spelling of its URL."""

    session: str
    page: str
    said: Said


class Sessions:
    """Makes, opens and ends sessions. `now` gives Unix seconds. Deriving its keys takes 0.1 s."""

    def __init__(self, api_key: str, authentication: Authentication, now: Clock) -> None:
        derived = hashlib.scrypt(api_key.encode(), salt=_SALT, n=_COST, r=8, p=1, dklen=64)
        self._seal = Fernet(base64.urlsafe_b64encode(derived[:32]))
        self._forms = derived[32:]
        self._authentication = authentication
        self._now = now
        self._ended: OrderedDict[str, float] = OrderedDict()

    def begin(self, key: str, caller: Caller) -> str:
        """The cookie of a new session of whoever presented `key`."""
        session = Session(secrets.token_urlsafe(16), key if caller.instance is not None else "")
        return self._seal.encrypt_at_time(msgspec.json.encode(session), int(self._now())).decode()

    async def find(self, cookie: str) -> tuple[Session, Caller] | None:
        """None: it is no session, or none any more. Raises StoreUnavailable."""
        try:
            opened = self._seal.decrypt_at_time(cookie.encode(), SESSION_SECONDS, int(self._now()))
            session = msgspec.json.decode(opened, type=Session)
        except (InvalidToken, UnicodeError, msgspec.MsgspecError):
            return None
        if session.id in self._ended:
            return None
        caller = await self._authentication.known(session.token) if session.token else Caller()
        if caller is None or (session.token and caller.instance is None):
            return None
        return session, caller

    def end(self, session: Session) -> None:
        """This replica takes it no more."""
        self._ended[session.id] = self._now()
        while len(self._ended) > MOST_ENDED:
            self._ended.popitem(last=False)

    def tell(self, session: Session, page: URL, said: Said) -> str:
        """A cookie by which this session's next page says it, once, whichever replica answers."""
        told = msgspec.json.encode(_Told(session.id, _name_of(page), _shortened(said)))
        return self._seal.encrypt_at_time(told, int(self._now())).decode()

    def told(self, session: Session, page: URL, cookie: str) -> Said | None:
        """None: nothing is told, or not to this session or on this page."""
        try:
            opened = self._seal.decrypt_at_time(cookie.encode(), SAID_SECONDS, int(self._now()))
            told = msgspec.json.decode(opened, type=_Told)
        except (InvalidToken, UnicodeError, msgspec.MsgspecError):
            return None
        return told.said if (told.session, told.page) == (session.id, _name_of(page)) else None

    def form_token(self, session: Session) -> str:
        """What each form of the session carries, and no other site can know."""
        return hmac.new(self._forms, session.id.encode(), "sha256").hexdigest()

    def is_form_token(self, session: Session, given: str) -> bool:
        return hmac.compare_digest(self.form_token(session).encode(), given.encode(errors="surrogateescape"))


def _name_of(page: URL) -> str:
    asked = repr((page.path, sorted(page.query.items())))
    return hashlib.sha256(asked.encode(errors="replace")).hexdigest()[:32]


def _shortened(said: Said) -> Said:
    """As much of it as there is room for: the beginnings."""
    while len(msgspec.json.encode(said)) > MOST_BYTES:
        text, details = said.text, said.details or ""
        if len(details) >= len(text):
            said = replace(said, details=details[: len(details) // 2])
        else:
            said = replace(said, text=text[: len(text) // 2])
    return said
