"""An endpoint moves into a siding, and comes back.

A siding in use begins with a label, which names the endpoint and stays un-acked to the end. So who takes over needs to
see no more than the first messages of each siding, and a message that a former active replica published too late is
recognised: no label stands before it, or one of another use.
"""

from collections import deque

from worker.ordered.deciding.line import Line, Mode
from worker.ordered.deciding.ports import Acts, Item, Kind
from worker.ordered.deciding.role import Role, State
from worker.ordered.deciding.rules import CLOSING_EVENTS, MOST_WAITING, WINDOW_EVENTS
from worker.ordered.deciding.siding import Siding, Stage
from worker.ordered.deciding.sidings import Lines, Sidings


class Moving:
    """What is published to sidings, and when they are given back. Every `now` is monotonic, in seconds."""

    def __init__(self, acts: Acts, role: Role, sidings: Sidings, lines: Lines) -> None:
        self._acts = acts
        self._role = role
        self._sidings = sidings
        self._lines = lines
        self._window = WINDOW_EVENTS

    def share(self, sidings: int) -> None:
        """So many are in use: a share each of what may be published without a confirm."""
        self._window = max(1, WINDOW_EVENTS // max(1, sidings))

    def move(self, line: Line, now: float) -> bool:
        """Begins to move it into the lowest free siding; False: there is none."""
        siding = self._sidings.free()
        if siding is None:
            return False
        siding.use, siding.endpoint, siding.stage = self._sidings.next_use(), line.endpoint, Stage.OPENING
        line.mode = Mode.MOVING
        line.sidings = [siding]
        self._acts.open_siding(siding.number)
        siding.wanted = Kind.LABEL
        self._sidings.say(siding, now)
        return True

    def moved(self, line: Line, now: float) -> None:
        """Once the label has come, everything that the endpoint holds follows it, in order: also what is under way,
        which would else come behind the rest after a crash. Its attempt goes on, and its key waits for the end."""
        if line.mode is Mode.MOVING and line.sidings[0].stage is Stage.USED:
            line.mode = Mode.SIDED
            line.empty_keys()
            line.appending = deque(line.fresh)
            self.append(line, now)

    def append(self, line: Line, now: float) -> None:
        """Publishes what comes next, in the order in which it was taken."""
        if line.mode is not Mode.SIDED or not self._role.may_act(now):
            return
        siding = line.sidings[-1]
        while line.appending and len(siding.unconfirmed) < self._window:
            item = line.appending.popleft()
            stamp = siding.stamp(Kind.EVENT, self._role.epoch)
            siding.unconfirmed.append((stamp.serial, item))
            if item.again:
                siding.again.add(stamp.serial)
            self._acts.publish(siding.number, stamp, item)

    def confirmed(self, number: int, serial: int, now: float) -> list[Item]:
        """Returns what is in the siding for certain from now on, and settled."""
        siding = self._sidings[number]
        taken = siding.take_confirmed(serial)
        if siding.endpoint is None or self._role.state is not State.ACTIVE:
            return taken
        line = self._sidings.line_of(siding)
        for item in taken:
            line.left(item)
            self._acts.settle(item)
        if line.appending:
            self.append(line, now)
        self.close(line, now)
        return taken

    def publish_failed(self, number: int, now: float) -> None:
        """Everything from the first unconfirmed one is published again, in the same order."""
        siding = self._sidings[number]
        siding.failed()
        self._sidings.say(siding, now)
        if siding.stage is Stage.USED and self._role.state is State.ACTIVE:
            line = self._sidings.line_of(siding)
            if line.mode in (Mode.SIDED, Mode.CLOSING) and line.sidings[-1] is siding:
                self._side_again(line, now)

    def close(self, line: Line, now: float) -> None:
        """Gives the siding back, in steps, once its endpoint is well and nearly everything in it has come."""
        if line.mode not in (Mode.SIDED, Mode.CLOSING) or not self._role.may_act(now):
            return
        siding, last = line.sidings[0], len(line.sidings) == 1
        if last and line.mode is Mode.SIDED and self._may_close(line, siding):
            line.mode = Mode.CLOSING
            line.appending.clear()
        if (not last or line.mode is Mode.CLOSING) and self._is_empty(siding):
            siding.stage = Stage.EMPTIED
            for label in siding.labels:
                self._acts.drop(siding.number, label)
            siding.labels.clear()
            siding.waits += 1
            self._acts.wait_for_acks(siding.number)

    def acks_stored(self, number: int, now: float) -> None:
        """Nothing of this use is left in it: another endpoint may have it."""
        siding = self._sidings[number]
        line = self._sidings.line_of(siding)
        siding.waits -= 1
        if siding.stage is not Stage.EMPTIED or siding.waits:
            return  # some of it has come again meanwhile
        self._acts.close_siding(number)
        siding.forget_use()
        line.sidings.pop(0)
        if line.sidings:
            self._sidings.serve(line, now)
            self.close(line, now)
            return
        line.mode = Mode.DIRECT
        line.got_on_at = now
        for item in line.fresh:
            line.feed(item)
        self._lines.start(line, now)

    def trouble(self, line: Line, now: float) -> None:
        """Its endpoint is not well, or too much waits for its siding to become empty."""
        if line.mode is Mode.CLOSING and line.sidings[0].stage is Stage.USED:
            self._side_again(line, now)

    def waits(self, line: Line, now: float) -> None:
        """One more has come from the queue while the siding is being closed."""
        if len(line.fresh) > MOST_WAITING:
            self.trouble(line, now)

    def _side_again(self, line: Line, now: float) -> None:
        line.mode = Mode.SIDED
        line.appending = deque(list(line.fresh)[len(line.sidings[-1].unconfirmed) :])
        self.append(line, now)

    def _may_close(self, line: Line, siding: Siding) -> bool:
        few = siding.to_come + len(line.appending) <= CLOSING_EVENTS
        known_well = not (line.troubled or line.detached)
        return few and siding.read_through and known_well and siding.stage is Stage.USED

    def _is_empty(self, siding: Siding) -> bool:
        outstanding = siding.items or siding.unconfirmed or siding.to_come or siding.reopening
        return siding.read_through and siding.stage is Stage.USED and not outstanding
