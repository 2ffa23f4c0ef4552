"""Which event of a kind and a chat is the newest that this replica has taken (`latest_only`)."""

from collections import OrderedDict
from typing import NamedTuple

from worker.domain.choosing.timely import LatestKey
from worker.domain.past import Past

MOST_REMEMBERED = 20_000
"""Chats with their kind and webhook; some 15 MB. What is forgotten is sent although a newer one was, and no worse."""

MOST_OLDER = 8
"""Events of one of those that are known to be older than the newest."""


class _Newest(NamedTuple):
    """`first_seen`: the highest of all that were taken, as a clock that was set back makes no event older."""

    event_id: str
    first_seen: float
    older: tuple[str, ...] = ()


class Latest:
    """Memory of this process alone: bounded, and gone with it."""

    def __init__(self, most: int = MOST_REMEMBERED) -> None:
        self._most = most
        self._newest: OrderedDict[LatestKey, _Newest] = OrderedDict()

    def taken(self, key: LatestKey, past: Past, *, new: bool) -> None:
        """An event that its webhook hears has been taken.

        `new`: it comes from Evolution, and the broker has not delivered it before. Any other may have been taken
        before what came meanwhile: it is the newest only by its own time.
        """
        known = self._newest.get(key)
        if known is None:
            self._remember(key, _Newest(past.event_id, past.first_seen))
        elif known.event_id == past.event_id or (not new and self._is_older(known, past)):
            self._newest.move_to_end(key)
        else:
            older = (*known.older, known.event_id)[-MOST_OLDER:]
            self._remember(key, _Newest(past.event_id, max(known.first_seen, past.first_seen), older))

    def superseded(self, key: LatestKey, past: Past) -> bool:
        """Whether a newer one was taken. False for what was forgotten."""
        known = self._newest.get(key)
        return known is not None and known.event_id != past.event_id and self._is_older(known, past)

    def _is_older(self, known: _Newest, past: Past) -> bool:
        return past.event_id in known.older or past.first_seen <= known.first_seen

    def _remember(self, key: LatestKey, newest: _Newest) -> None:
        self._newest[key] = newest
        self._newest.move_to_end(key)
        if len(self._newest) > self._most:
            self._newest.popitem(last=False)
