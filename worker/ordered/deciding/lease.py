"""Whether this replica may still act: until when nobody else can have taken over."""

from math import inf

from worker.ordered.deciding.rules import LEASE_SECONDS


class Lease:
    """Renewed by a tick that RabbitMQ confirmed and whose announcement was heard back.

    The confirm proves that this process reaches the queue; hearing its own announcement proves that it has heard
    everything announced before, a takeover by another replica included. Times are monotonic seconds.
    """

    def __init__(self) -> None:
        self._sent: dict[int, float] = {}
        self._confirmed: set[int] = set()
        self._heard: set[int] = set()
        self.until = -inf

    def valid(self, now: float) -> bool:
        return now < self.until

    def sent(self, number: int, now: float) -> None:
        """A tick and its announcement go out now."""
        self._sent[number] = now

    def confirmed(self, number: int) -> None:
        self._confirmed.add(number)
        self._renew(number)

    def heard(self, number: int) -> None:
        self._heard.add(number)
        self._renew(number)

    def answered(self, asked_at: float) -> None:
        """RabbitMQ takes no publishes from anybody, so nobody can take over now.

        It was asked then about this replica's queue of announcements, and has answered: behind all that was in it.
        """
        self.until = max(self.until, asked_at + LEASE_SECONDS)

    def _renew(self, number: int) -> None:
        if number not in self._sent or number not in self._confirmed or number not in self._heard:
            return
        self.until = max(self.until, self._sent[number] + LEASE_SECONDS)
        for old in [old for old in self._sent if old <= number]:
            del self._sent[old]
        self._confirmed = {later for later in self._confirmed if later > number}
        self._heard = {later for later in self._heard if later > number}
