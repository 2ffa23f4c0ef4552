"""What comes from the sidings: after a takeover the answers to whom they serve, then the events."""

from collections import deque

from worker.ordered.deciding.line import Mode
from worker.ordered.deciding.moving import Moving
from worker.ordered.deciding.ports import Acts, Item, Kind, Stamp
from worker.ordered.deciding.role import Role, State
from worker.ordered.deciding.room import Room
from worker.ordered.deciding.rules import Rules
from worker.ordered.deciding.siding import Siding, Stage
from worker.ordered.deciding.sidings import Lines, Sidings


class Reading:
    """Every `now` is monotonic, in seconds."""

    def __init__(self, acts: Acts, role: Role, rules: Rules, sidings: Sidings, moving: Moving, lines: Lines) -> None:
        self._acts = acts
        self._role = role
        self._rules = rules
        self._sidings = sidings
        self._moving = moving
        self._lines = lines
        self._room = Room(rules, sidings)

    def found(self, count: int, now: float) -> None:
        """There are so many: each is asked."""
        for number in range(1, count + 1):
            siding = self._sidings.add(number, Stage.ASKED)
            self._acts.open_siding(number)
            siding.wanted = Kind.MARKER
            self._sidings.say(siding, now)

    @property
    def answered(self) -> bool:
        return all(siding.stage in (Stage.FREE, Stage.USED) for siding in self._sidings)

    def begin(self, now: float) -> None:
        """All have answered: the endpoints that they name are sided."""
        for siding in sorted(self._sidings.used(), key=lambda siding: siding.use):
            assert siding.endpoint is not None
            line = self._lines.line(siding.endpoint)
            line.sidings.append(siding)
            line.mode = Mode.SIDED
            line.empty_keys()
            line.appending = deque(line.fresh)
        for line in {id(line): line for line in map(self._sidings.line_of, self._sidings.used())}.values():
            self._sidings.serve(line, now)
            self._moving.append(line, now)

    def came(self, number: int, stamp: Stamp, item: Item | None, token: object, now: float) -> None:
        siding = self._sidings[number]
        if siding.stage is Stage.FREE or self._role.state is State.GONE:
            return  # its channel is being closed
        if stamp.epoch == self._role.epoch:
            siding.came_back(stamp)
        if stamp.kind is not Kind.LABEL and siding.stage is Stage.USED and not siding.labels:
            self._role.give_way()  # it was opened again, and its label went to another replica
            return
        match stamp.kind:
            case Kind.MARKER:
                self._marker(siding, stamp, token, now)
            case Kind.LABEL:
                self._label(siding, stamp, token, now)
            case Kind.EVENT:
                assert item is not None
                self._event(siding, stamp, item, token, now)
        if siding.endpoint is not None and self._role.state is State.ACTIVE:
            self._moving.close(self._sidings.line_of(siding), now)

    def _marker(self, siding: Siding, stamp: Stamp, token: object, now: float) -> None:
        # With a lease: without, it may be the marker by which another replica asks, and be missing there.
        self._sidings.drop(siding, token, now)
        if stamp.epoch != self._role.epoch or siding.control is None or stamp.serial != siding.control.serial:
            return
        siding.read_through = True
        if siding.stage is Stage.ASKED:
            self._acts.close_siding(siding.number)
            siding.forget_use()
        elif siding.stage is Stage.LABELLED:
            self._take_use(siding, max(siding.candidates))

    def _label(self, siding: Siding, stamp: Stamp, token: object, now: float) -> None:
        self._sidings.use_seen(stamp.use)
        if siding.stage in (Stage.ASKED, Stage.LABELLED):
            assert stamp.endpoint is not None
            siding.candidates[stamp.use] = stamp.endpoint
            siding.stage = Stage.LABELLED
        elif stamp.use != siding.use:
            self._foreign(siding, stamp, token, now)
            return
        if siding.is_copy(stamp):
            # Un-acked, twenty of them would fill the prefetch, and no event would ever come.
            self._sidings.drop(siding, token, now)
            return
        # The same one again, if the queue was with another replica meanwhile: only the last tag is valid then.
        siding.labels.append(token)
        siding.labelled_at = now
        if siding.stage is Stage.EMPTIED:
            siding.stage = Stage.USED
        elif siding.stage is Stage.OPENING:
            siding.stage = Stage.USED
            siding.read_through = True
            self._moving.moved(self._sidings.line_of(siding), now)

    def _event(self, siding: Siding, stamp: Stamp, item: Item, token: object, now: float) -> None:
        if siding.stage is Stage.LABELLED and stamp.use in siding.candidates:
            self._take_use(siding, stamp.use)
        ours = stamp.epoch == self._role.epoch
        if not siding.labels or stamp.use != siding.use or (ours and stamp.serial in siding.void):
            self._foreign(siding, stamp, token, now)
            return
        item.siding, item.taken_at = siding.number, now
        item.again = item.again or not ours or stamp.serial in siding.again
        siding.took(item)
        if self._role.state is State.ACTIVE and self._sidings.line_of(siding).sidings[0] is siding:
            self._lines.feed(self._sidings.line_of(siding), item, now)

    def _take_use(self, siding: Siding, use: int) -> None:
        """Of several labels the one counts whose events follow: the others were published too late."""
        siding.use, siding.endpoint = use, siding.candidates[use]
        siding.candidates.clear()
        siding.stage = Stage.USED

    def _foreign(self, siding: Siding, stamp: Stamp, token: object, now: float) -> None:
        """It belongs to no use of this siding that is known here: a former active replica published it too late, or a
        later one has taken over."""
        if stamp.epoch > self._role.epoch and siding.stage not in (Stage.ASKED, Stage.LABELLED):
            self._role.give_way()
        else:
            self._sidings.drop(siding, token, now)

    def beat(self, now: float) -> None:
        if not self._role.may_publish(now):
            return
        for siding in self._sidings:
            self._sidings.say(siding, now)
            for token in siding.late:
                self._acts.drop(siding.number, token)
            siding.late.clear()
        if self._role.state is State.ACTIVE:
            self._room.look(now)
            used = self._sidings.used()
            self._moving.share(len(used))
            for siding in [siding for siding in used if siding.labels]:
                self._keep_fresh(siding, now)
                self._moving.append(self._sidings.line_of(siding), now)
                self._moving.close(self._sidings.line_of(siding), now)

    def _keep_fresh(self, siding: Siding, now: float) -> None:
        """RabbitMQ lets nothing be un-acked for too long, and the prefetch may be another now: the channel is closed
        and opened again, between attempts."""
        line = self._sidings.line_of(siding)
        if now - siding.labelled_at < self._rules.unacked_seconds and not siding.resized:
            return
        siding.reopening = True
        if line.sidings[0] is siding:
            line.paused = True
            if line.under_way:
                return
            line.empty_keys()
            line.paused = False
        siding.reopened()
        siding.labelled_at = now
        self._acts.reopen_siding(siding.number)
        siding.wanted = Kind.MARKER
        self._sidings.say(siding, now)
