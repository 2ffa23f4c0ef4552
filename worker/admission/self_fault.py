"""Recognises that no receiver can be reached: the worker's own network or DNS failed, and no receiver pays for it."""

from collections import OrderedDict
from dataclasses import dataclass
from itertools import islice
from math import inf

from worker.domain.verdict import Failure

OURS_PERHAPS = frozenset({Failure.CONNECT, Failure.DNS, Failure.TLS, Failure.PROXY})
"""The failures that the worker's own network, resolver, certificate store or proxy can cause for every receiver."""

PROBE_SECONDS = 1.0
REMEMBERED_HOSTS = 1000

GRACE_SECONDS = 2.0
"""Failures must have lasted this long: a refused connect is known sooner than an answer, so that after a quiet hour the
receivers that are down are heard of before those that are well."""


@dataclass(slots=True)
class _Probe:
    """Attempts that test whether a receiver can be reached: one at a time, at most one every PROBE_SECONDS."""

    attempt: object = None
    next_at: float = 0.0

    def may_start(self, now: float) -> bool:
        return self.attempt is None and now >= self.next_at

    def start(self, attempt: object, now: float) -> None:
        self.attempt = attempt
        self.next_at = now + PROBE_SECONDS


class SelfFaultGuard:
    """Decides when to stop sending because no receiver can be reached, and which attempts probe meanwhile.

    Frozen once `hosts` distinct host:port failed within `window` seconds, none answered in that time, and the first
    failure since the last answer is GRACE_SECONDS old. Any answer, a 500 too, proves that the worker's side works and
    ends it at once. While frozen there are two probes, each one attempt at a time: one goes to any receiver, the other
    only to a host that has not failed. Without that one, a receiver that is well and gets few events would wait behind
    the dead ones of a quiet installation. Remembers no more than REMEMBERED_HOSTS failures.
    """

    def __init__(self, window: float = 30.0, hosts: int = 5) -> None:
        self._window = window
        self._hosts = hosts
        self._failed: OrderedDict[tuple[str, int], float] = OrderedDict()
        self._anywhere = _Probe()
        self._elsewhere = _Probe()
        self._failing_since: float | None = None
        self.silent_since = -inf
        self.frozen_at: float | None = None
        self.last_answer = -inf

    def failed(self, host: tuple[str, int], now: float) -> bool:
        """A failure of the OURS_PERHAPS kind. True: sending stops from now on."""
        if self._failing_since is None:
            self._failing_since = now
        self._failed[host] = now
        self._failed.move_to_end(host)
        if len(self._failed) > REMEMBERED_HOSTS:
            self._failed.popitem(last=False)
        if self.frozen_at is not None or now - self._failing_since < GRACE_SECONDS:
            return False
        if not self._nobody_is_reached(now):
            return False
        self.frozen_at = now
        self.silent_since = self.last_answer
        self._failed = OrderedDict((host, at) for host, at in self._failed.items() if at >= now - self._window)
        self._anywhere = _Probe(next_at=now + PROBE_SECONDS)
        self._elsewhere = _Probe()
        return True

    def answered(self, now: float) -> bool:
        """A receiver answered. True: sending goes on from now."""
        self.last_answer = now
        self._failing_since = None
        if self.frozen_at is None:
            return False
        self.frozen_at = None
        self._failed.clear()
        return True

    def may_probe(self, host: tuple[str, int], now: float) -> bool:
        return self._probe_to(host, now) is not None

    def started(self, attempt: object, host: tuple[str, int], now: float) -> None:
        """While frozen: it is a probe."""
        (self._probe_to(host, now) or self._anywhere).start(attempt, now)

    def ended(self, attempt: object) -> None:
        for probe in (self._anywhere, self._elsewhere):
            if probe.attempt is attempt:
                probe.attempt = None

    def _probe_to(self, host: tuple[str, int], now: float) -> _Probe | None:
        if host not in self._failed and self._elsewhere.may_start(now):
            return self._elsewhere
        return self._anywhere if self._anywhere.may_start(now) else None

    def _nobody_is_reached(self, now: float) -> bool:
        since = now - self._window
        recent = islice(reversed(self._failed.values()), self._hosts - 1, None)
        return next(recent, -inf) >= since > self.last_answer
