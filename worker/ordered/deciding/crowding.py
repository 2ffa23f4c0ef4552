"""Which endpoints move into sidings, so that those that are down or slow hold none of the others."""

from worker.ordered.deciding.in_hand import InHand
from worker.ordered.deciding.line import Line
from worker.ordered.deciding.rules import HEAD_SECONDS, MOST_STILL, MOST_WAITING, SLOW_SECONDS, STILL_SECONDS, Rules


class Crowding:
    """Looks at what is un-acked in the queue. An endpoint whose circuit is open moves at once, and not from here."""

    def __init__(self, rules: Rules, in_hand: InHand) -> None:
        self._rules = rules
        self._in_hand = in_hand

    def in_the_way(self, now: float, acts_since: float) -> list[Line]:
        """At a beat: those that are to move, the one that holds most first. `acts_since`: since when attempts could be
        made; what had to wait before waited for no receiver."""
        direct = sorted(self._in_hand.direct(), key=lambda line: len(line.fresh), reverse=True)
        moving, staying = list[Line](), list[Line]()
        for line in direct:
            (moving if _is_slow(line, now, acts_since) else staying).append(line)
        held, half = sum(len(line.fresh) for line in staying), self._rules.prefetch // 2
        for line in staying:
            if held >= half and _stands_still(line, now, acts_since):
                moving.append(line)
                held -= len(line.fresh)
        if not moving and sum(line.bytes for line in direct) > self._rules.most_bytes:
            moving = [max(direct, key=lambda line: line.bytes)]
        return moving


def _is_slow(line: Line, now: float, acts_since: float) -> bool:
    waits_since = line.waits_since()
    if now - waits_since >= HEAD_SECONDS:
        return True
    since = max(waits_since, acts_since)
    if len(line.fresh) > MOST_WAITING and now - since >= SLOW_SECONDS:
        return True
    # What was put off waits for a rate, or for a place in this process: no receiver holds it up.
    tried = line.troubled or line.under_way
    return bool(tried) and len(line.fresh) > MOST_STILL and now - max(since, line.got_on_at) >= SLOW_SECONDS


def _stands_still(line: Line, now: float, acts_since: float) -> bool:
    """Its receiver has taken nothing for some time while something waited for it, or takes too little."""
    waits_since = max(line.waits_since(), acts_since)
    return now - max(waits_since, line.got_on_at) >= STILL_SECONDS or now - waits_since >= SLOW_SECONDS
