"""Who is active: the lease, and what is heard of other replicas."""

from worker.ordered.deciding.lease import Lease
from worker.ordered.deciding.ports import Announcement
from worker.ordered.deciding.role import Role, State


class Said:
    """What a role has had done."""

    def __init__(self) -> None:
        self.announced: list[Announcement] = []
        self.ticks: list[int] = []
        self.gave_way = False

    def announce(self, announcement: Announcement) -> None:
        self.announced.append(announcement)

    def tick(self, number: int) -> None:
        self.ticks.append(number)

    def give_way(self) -> None:
        self.gave_way = True


def role() -> tuple[Role, Said]:
    said = Said()
    return Role(said, lambda highest: highest + 1, 0.0), said  # type: ignore[arg-type]  # a role calls no others


def leads(made: Role, said: Said, until: float) -> bool:
    """Beats until then; RabbitMQ confirms and passes on everything at once. True: it wanted to ask."""
    asked, now = False, 0.0
    made.first_came(now)
    while now <= until:
        for announcement in said.announced:
            made.heard(announcement, now)
            made.lease.confirmed(announcement.number)
        said.announced.clear()
        asked = made.beat(now) or asked
        now += 0.25
    return asked


def test_a_lease_needs_the_confirm_and_the_announcement_and_counts_from_the_sending() -> None:
    lease = Lease()
    lease.sent(1, 10.0)
    lease.confirmed(1)
    assert not lease.valid(10.1)
    lease.heard(1)
    assert lease.valid(11.74)
    assert not lease.valid(11.75)


def test_a_late_confirm_renews_nothing_for_longer_than_its_own_tick() -> None:
    lease = Lease()
    lease.sent(1, 10.0)
    lease.sent(2, 11.0)
    for number in (2, 1):
        lease.confirmed(number)
        lease.heard(number)
    assert lease.until == 12.75


def test_a_standby_publishes_ticks_until_it_hears_of_an_active_one_and_again_after_its_silence() -> None:
    made, said = role()
    made.beat(0.0)
    made.beat(0.25)
    assert said.ticks == [0], "two a second"
    made.heard(Announcement(7, False, 1), 0.3)
    made.beat(1.5)
    assert said.ticks == [0], "none while somebody is active"
    made.beat(1.6)
    assert said.ticks == [0, 0]


def test_whoever_gets_the_first_message_waits_longer_than_any_lease_from_hearing_itself_and_then_asks() -> None:
    early, said = role()
    assert not leads(early, said, 2.0)
    late, said = role()
    assert leads(late, said, 2.5)
    assert late.state is State.WAITING, "the core says that it asks"


def test_without_a_lease_nobody_asks() -> None:
    made, said = role()
    made.first_came(0.0)
    made.heard(said.announced[0], 0.0)
    assert not any(made.beat(now / 4) for now in range(40))


def test_a_new_epoch_is_higher_than_every_one_that_was_heard() -> None:
    made, said = role()
    made.heard(Announcement(41, False, 1), 0.0)
    made.first_came(1.0)
    assert said.announced == [Announcement(42, True, 1)]


def test_the_active_one_gives_way_to_any_other_epoch() -> None:
    made, said = role()
    leads(made, said, 4.0)
    made.asking()
    made.begin()
    assert made.may_act(4.0)
    made.heard(Announcement(99, True, 1), 4.0)
    assert said.gave_way
    assert not made.may_act(4.0)


def test_who_takes_over_does_not_give_way_to_the_last_words_of_the_one_before() -> None:
    made, said = role()
    made.first_came(0.0)
    made.heard(Announcement(99, False, 5), 0.1)
    assert not said.gave_way
    made.heard(Announcement(99, True, 1), 0.2)
    assert said.gave_way, "but to one that takes over as well"


def test_ten_seconds_without_a_lease_end_it() -> None:
    made, said = role()
    made.first_came(0.0)
    made.beat(9.9)
    assert not said.gave_way
    made.beat(10.0)
    assert said.gave_way


def test_while_the_broker_takes_no_publishes_its_answers_renew_the_lease() -> None:
    made, _ = role()
    made.first_came(0.0)
    made.lease.answered(9.0)
    made.beat(10.0)
    assert made.lease.valid(10.7)
    assert made.state is State.WAITING


def test_a_drain_lets_nothing_begin() -> None:
    made, said = role()
    leads(made, said, 4.0)
    made.asking()
    made.begin()
    made.draining = True
    assert not made.may_act(4.0)
    assert not made.may_publish(4.0)
