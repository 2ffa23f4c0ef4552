"""Is the fault ours? When nobody can be reached, it is our network or DNS, and no receiver pays for it."""

from collections import OrderedDict
from urllib.parse import urlsplit

from worker.domain.verdict import Failure

OURS_PERHAPS = frozenset({Failure.CONNECT, Failure.DNS, Failure.TLS})
"""The failures that our own network, resolver or certificate store can cause for everybody."""

PROBE_SECONDS = 1.0

GRACE_SECONDS = 2.0
"""A refused connect is known sooner than an answer: after a quiet hour the dead come first. They get time."""


def host_port(url: str) -> tuple[str, int]:
    """`https://Host/x` -> `("host", 443)`."""
    parts = urlsplit(url)
    return parts.hostname or "", parts.port or (443 if parts.scheme.lower() == "https" else 80)


class SelfFaultGuard:
    """Frozen once `hosts` distinct host:port failed within `window` seconds, nobody answered in that time,
    and the first failure since the last answer is GRACE_SECONDS old.

    Any answer, a 500 too, proves that our side works and ends it at once. While frozen one attempt at a time
    probes, at most one a second. Remembers no more than `hosts` failures.
    """

    def __init__(self, window: float = 30.0, hosts: int = 5) -> None:
        self._window = window
        self._hosts = hosts
        self._failed: OrderedDict[tuple[str, int], float] = OrderedDict()
        self._probe_at = 0.0
        self._failing_since: float | None = None
        self.probe: object = None
        self.silent_since = float("-inf")
        self.frozen_at: float | None = None
        self.last_answer = float("-inf")

    def failed(self, host: tuple[str, int], now: float) -> bool:
        """A failure of the OURS_PERHAPS kind. True: this one froze."""
        if self._failing_since is None:
            self._failing_since = now
        self._failed[host] = now
        self._failed.move_to_end(host)
        if len(self._failed) > self._hosts:
            self._failed.popitem(last=False)
        if self.frozen_at is not None or now - self._failing_since < GRACE_SECONDS:
            return False
        if not self._nobody_is_reached(now):
            return False
        self.frozen_at = now
        self.silent_since = self.last_answer
        self.probe = None
        self._probe_at = now + PROBE_SECONDS
        return True

    def answered(self, now: float) -> bool:
        """Somebody was reached. True: this thawed."""
        self.last_answer = now
        self._failing_since = None
        if self.frozen_at is None:
            return False
        self.frozen_at = None
        self._failed.clear()
        return True

    def may_probe(self, now: float) -> bool:
        return self.probe is None and now >= self._probe_at

    def probe_started(self, attempt: object, now: float) -> None:
        self.probe = attempt
        self._probe_at = now + PROBE_SECONDS

    def _nobody_is_reached(self, now: float) -> bool:
        since = now - self._window
        oldest = next(iter(self._failed.values()))
        return len(self._failed) >= self._hosts and oldest >= since and self.last_answer < since
