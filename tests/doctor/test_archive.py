"""The archive as check and doctor see it: there, a stream, bound, bounded as asked, and large enough; and pauses."""

from __future__ import annotations

import shlex
from dataclasses import replace
from typing import Any

import pytest

from tests.doctor.builders import COMMANDS, EXCHANGE, TOPOLOGY, bound, own_queues, queue, theirs, view
from worker.doctor.archive.bounds import Bounds, bounded, bounds, disk, hours_held, reach, seconds_of
from worker.doctor.archive.paused import judged as judged_pauses
from worker.doctor.archive.paused import paused
from worker.doctor.archive.stream import Around, binding, judged, problem
from worker.doctor.asking.archive import ArchiveSeen, last_moment
from worker.doctor.asking.management import Node, QueueFacts
from worker.doctor.finding import Finding
from worker.doctor.own import leftovers, limits, policies
from worker.doctor.version import message_size
from worker.doctor.view import BrokerView
from worker.domain.webhook import Webhook
from worker.replay.jobs import Asked, Job, Kind, State, missed_since
from worker.settings.settings import Settings, load

NAME = "webhooks.archive"
NOW = 1_800_000_000.0
HOUR = 3600.0
GIB = 1024**3
DECLARED: dict[str, Any] = {
    "x-queue-type": "stream",
    "x-max-age": "24h",
    "x-max-length-bytes": GIB,
    "x-stream-max-segment-size-bytes": GIB // 64,
    "x-initial-cluster-size": 3,
}
STREAM = ArchiveSeen(exists=True, arguments=DECLARED, messages=7, born=NOW - HOUR, average=900.0)
ABSENT = ArchiveSeen(exists=False)


def settings(**given: str) -> Settings:
    return load(given, None)[0]


def facts(policy: dict[str, Any] | None = None, name: str | None = None, **arguments: Any) -> QueueFacts:
    return queue(NAME, 7, arguments=DECLARED | arguments, policy=policy or {}, policy_name=name)


def seen_with(**arguments: Any) -> ArchiveSeen:
    return replace(STREAM, arguments=DECLARED | arguments)


def found(seen: ArchiveSeen, around: BrokerView, flags: dict[str, str] | None = None, **given: str) -> list[Finding]:
    return judged(seen, Around(around, None, flags), settings(**given), TOPOLOGY, COMMANDS, NOW)


def told(findings: list[Finding]) -> list[tuple[str, str]]:
    return [(finding.level, finding.name) for finding in findings]


BOUND = [bound("webhooks.events", "#"), bound(NAME, "#")]


def test_a_sound_archive_has_nothing_to_do() -> None:
    around = view(*own_queues(), facts(), bindings=BOUND)
    assert told(found(STREAM, around)) == [
        ("ok", "archive"),
        ("ok", "archive's binding"),
        ("ok", "archive's bounds"),
        ("ok", "archive's reach"),
    ]


@pytest.mark.parametrize(
    ("consumers", "given", "level", "words"),
    [
        (0, {}, "advice", "made at the next start"),
        (2, {}, "warning", "although 2 replicas run"),
        (0, {"RABBITMQ_DECLARE": "false"}, "warning", "missing with RABBITMQ_DECLARE=false"),
    ],
)
def test_an_archive_that_is_not_there(consumers: int, given: dict[str, str], level: str, words: str) -> None:
    around = view(queue("webhooks.retries", consumers=consumers), bindings=[])
    (one,) = found(ABSENT, around, **given)
    assert (one.level, one.name) == (level, "archive")
    assert words in one.what
    assert (problem(ABSENT, settings(**given), NAME) is None) == ("RABBITMQ_DECLARE" not in given)


def test_a_broker_without_streams_is_told_by_its_feature_flag() -> None:
    (one,) = found(ABSENT, view(bindings=[]), {"stream_queue": "disabled"})
    assert one.level == "warning"
    assert one.fix.startswith("rabbitmqctl enable_feature_flag stream_queue")
    for flags in ({"stream_queue": "enabled"}, {}, None):
        (one,) = found(ABSENT, view(bindings=[]), flags)
        assert "next start" in one.what


@pytest.mark.parametrize("kind", ["quorum", "classic"])
def test_another_queue_of_that_name_is_a_problem(kind: str) -> None:
    seen = ArchiveSeen(exists=True, arguments={"x-queue-type": kind})
    (one,) = found(seen, view(*own_queues(), bindings=BOUND))
    assert (one.level, f"a {kind} queue and no stream" in one.what) == ("problem", True)
    assert "rabbitmqctl delete_queue webhooks.archive" in one.fix
    assert "no stream" in str(problem(seen, settings(), NAME))


def test_switched_off_it_stays_until_it_is_deleted() -> None:
    (one,) = found(STREAM, view(facts(), bindings=BOUND), ARCHIVE="false")
    assert (one.level, one.fix) == ("advice", "rabbitmqctl delete_queue webhooks.archive")
    assert told(found(ABSENT, view(bindings=[]), ARCHIVE="false")) == [("ok", "archive")]


def test_what_cannot_be_read_is_told_with_the_rights_where_they_lack() -> None:
    refused = replace(STREAM, trouble="ACCESS_REFUSED - read access to queue 'webhooks.archive'")
    around = Around(view(facts(), bindings=BOUND), permit="rabbitmqctl set_permissions me")
    first = judged(refused, around, settings(), TOPOLOGY, COMMANDS, NOW)[0]
    assert (first.level, first.fix) == ("warning", "rabbitmqctl set_permissions me")
    stalled = replace(STREAM, trouble="the archive gave nothing for 30 s")
    first = judged(stalled, around, settings(), TOPOLOGY, COMMANDS, NOW)[0]
    assert "cluster_status" in first.fix
    assert "gave nothing" in str(problem(stalled, settings(), NAME))


def test_without_the_whole_history_it_is_kept_for_nothing() -> None:
    one = found(STREAM, view(facts(), bindings=BOUND), HISTORY="failures")[0]
    assert (one.level, "HISTORY=failures" in one.what) == ("advice", True)


def test_the_archive_must_hear_every_exchange_that_the_events_come_from() -> None:
    def judged_binding(*bindings: Any, own_queue: bool = True) -> Finding | None:
        around = view(*own_queues(), facts(), bindings=bindings)
        return binding(around, TOPOLOGY, NAME, declares=True, own_queue=own_queue)

    lacking = judged_binding(bound("webhooks.events", "#"), bound(NAME, "messages.*"))
    assert lacking is not None
    assert (lacking.level, lacking.items) == ("warning", (EXCHANGE,))
    assert f"source={EXCHANGE} destination={NAME} routing_key='#'" in lacking.fix
    lacking = judged_binding(*BOUND, bound("webhooks.events", "#", "acme"))
    assert lacking is not None
    assert lacking.items == ("acme",)
    fine = judged_binding(*BOUND, bound(NAME, "#", "acme"))
    assert fine is not None
    assert fine.level == "ok"
    assert binding(view(bindings=None), TOPOLOGY, NAME, declares=True, own_queue=True) is None


def test_evolutions_own_queues_are_archived_by_the_exchange_that_feeds_them_if_there_is_one() -> None:
    fed = view(facts(), bindings=[bound("messages.upsert", "messages.upsert"), bound(NAME, "#")])
    go = view(facts(), bindings=[])
    for around, level in ((fed, "ok"), (go, "advice")):
        one = binding(around, TOPOLOGY, NAME, declares=True, own_queue=False)
        assert one is not None
        assert one.level == level


@pytest.mark.parametrize(
    ("age", "seconds"),
    [("24h", 86400), ("1D", 86400), ("2M", 60 * 86400), ("1Y", 365 * 86400), ("90m", 5400), ("30s", 30), ("h", None)],
)
def test_ages_are_read_as_rabbitmq_writes_them(age: str, seconds: float | None) -> None:
    assert seconds_of(age) == seconds
    assert seconds_of(86400) is None


def test_the_shorter_age_holds_and_the_policys_bytes() -> None:
    policy = {"max-age": "48h", "max-length-bytes": 5 * GIB, "stream-max-segment-size-bytes": 1000}
    assert bounds(DECLARED, policy) == Bounds(24 * HOUR, 5 * GIB, 1000)
    assert bounds(DECLARED, policy | {"max-age": "12h"}).age == 12 * HOUR
    assert bounds({}, {}) == Bounds(None, None, 500_000_000)


def test_fewer_hours_and_more_bytes_are_a_policy_and_exactly_that_is_printed() -> None:
    asked = settings(ARCHIVE_HOURS="12", ARCHIVE_MAX_BYTES="5GiB")
    one = bounded(STREAM, facts(), asked, COMMANDS)
    assert one is not None
    assert one.level == "warning", "it holds fewer bytes than asked for"
    assert shlex.split(one.fix) == [
        "rabbitmqctl",
        "set_policy",
        "--apply-to",
        "queues",
        "webhooks-archive",
        r"^webhooks\.archive$",
        '{"max-length-bytes":5368709120,"stream-max-segment-size-bytes":83886080,"max-age":"12h"}',
    ]


def test_after_that_policy_all_is_as_asked() -> None:
    policy = {"max-length-bytes": 5 * GIB, "stream-max-segment-size-bytes": 5 * GIB // 64, "max-age": "12h"}
    asked = settings(ARCHIVE_HOURS="12", ARCHIVE_MAX_BYTES="5GiB")
    one = bounded(STREAM, facts(policy, "webhooks-archive"), asked, COMMANDS)
    assert one is not None
    assert one.level == "ok"
    back = bounded(STREAM, facts(policy, "webhooks-archive"), settings(), COMMANDS)
    assert back is not None
    assert back.fix == "rabbitmqctl clear_policy webhooks-archive", "the declared ones are what the settings say"


def test_a_longer_age_than_declared_needs_a_new_stream() -> None:
    one = bounded(STREAM, facts(), settings(ARCHIVE_HOURS="48"), COMMANDS)
    assert one is not None
    assert (one.level, "rabbitmqctl delete_queue webhooks.archive" in one.fix) == ("warning", True)
    assert "gone with it" in one.fix
    again = bounded(STREAM, facts({"max-age": "1h"}, "webhooks-archive"), settings(ARCHIVE_HOURS="48"), COMMANDS)
    assert again is not None
    assert "clear_policy webhooks-archive; rabbitmqctl delete_queue" in again.fix


def test_anothers_policy_is_named_and_more_than_asked_for_is_advice() -> None:
    other = bounded(STREAM, facts({"max-age": "1h"}, "all"), settings(), COMMANDS)
    assert other is not None
    assert "keep the pattern of 'all' off webhooks.archive, then rabbitmqctl set_policy" in other.fix
    more = bounded(seen_with(**{"x-max-age": "48h"}), facts(), settings(), COMMANDS)
    assert more is not None
    assert (more.level, "set_policy" in more.fix) == ("advice", True)


def test_segments_too_large_for_the_bound_and_no_bounds_at_all() -> None:
    for arguments in ({"x-stream-max-segment-size-bytes": GIB // 2}, {"x-max-age": None, "x-max-length-bytes": None}):
        one = bounded(seen_with(**arguments), facts(), settings(), COMMANDS)
        assert one is not None
        assert (one.level, "set_policy" in one.fix) == ("advice", True)


def test_a_policy_that_cannot_be_seen_may_say_otherwise() -> None:
    one = bounded(seen_with(**{"x-max-age": "1h"}), None, settings(), COMMANDS)
    assert one is not None
    assert (one.level, "could not be seen" in one.what) == ("advice", True)
    assert bounded(replace(STREAM, arguments=None), None, settings(), COMMANDS) is None


IN_FORCE = Bounds(24 * HOUR, GIB, GIB // 64)


def test_a_cut_archive_is_told_how_far_it_reaches_and_what_would_do() -> None:
    cut = replace(STREAM, born=None, begins=NOW - 6 * HOUR, messages=1_000_000)
    one = reach(cut, IN_FORCE, 24, NOW)
    assert one is not None
    assert (one.level, "reaches back 6.0 h, not 24" in one.what) == ("warning", True)
    assert "ARCHIVE_MAX_BYTES=4097MiB" in one.fix
    whole = reach(replace(cut, begins=NOW - 23 * HOUR), IN_FORCE, 24, NOW)
    assert whole is not None
    assert whole.level == "ok"
    by_its_age = reach(replace(cut, begins=NOW - 6 * HOUR), replace(IN_FORCE, age=6 * HOUR), 24, NOW)
    assert by_its_age is not None
    assert by_its_age.level == "ok", "its bounds are told elsewhere"


def test_an_archive_that_is_nearly_empty_was_cut_by_its_age_in_a_quiet_time() -> None:
    quiet = replace(STREAM, born=None, begins=NOW - 2 * HOUR, messages=1000)
    assert reach(quiet, IN_FORCE, 24, NOW) is None


def test_a_young_archive_says_by_its_rate_how_far_it_will_reach() -> None:
    busy = replace(STREAM, born=NOW - HOUR, messages=200_000, average=900.0)
    assert hours_held(busy, GIB, NOW) == pytest.approx(5.37, abs=0.01)
    one = reach(busy, IN_FORCE, 24, NOW)
    assert one is not None
    assert (one.level, "will reach back, at the rate so far, 5.4 h" in one.what) == ("advice", True)
    assert reach(replace(busy, born=NOW - 60), IN_FORCE, 24, NOW) is None, "a minute says nothing"
    assert reach(replace(busy, average=None, messages=1), IN_FORCE, 24, NOW) is None


def test_the_disk_must_hold_what_the_archive_may_still_take() -> None:
    roomy, full = Node("rabbit@a", 10 * GIB, GIB), Node("rabbit@b", GIB + 1000, GIB)
    one = disk([roomy, full], STREAM, GIB)
    assert one is not None
    assert (one.level, one.items) == ("warning", ("rabbit@b",))
    for nodes, seen in (([roomy], STREAM), ([full], replace(STREAM, born=None, begins=NOW - HOUR))):
        fine = disk(nodes, seen, GIB)
        assert fine is not None
        assert fine.level == "ok"
    assert disk(None, STREAM, GIB) is None


async def test_the_last_moment_is_found_to_within_a_thousandth() -> None:
    async def before(moment: float) -> bool:
        return moment <= 700.0

    async def never(_: float) -> bool:
        return False

    found_at = await last_moment(before, 0.0, 1000.0)
    assert found_at is not None
    assert 699.0 <= found_at <= 700.0
    assert await last_moment(never, 0.0, 1000.0) is None


def test_to_the_other_rules_the_archive_is_neither_a_leftover_nor_anybodys_queue() -> None:
    around = view(*own_queues(), facts({"max-length-bytes": 5, "max-age": "1h"}, "webhooks-archive"), bindings=BOUND)
    assert theirs(around, "webhooks", "", "acme") == []
    assert leftovers(around, TOPOLOGY, COMMANDS) is None
    assert policies(around, TOPOLOGY, COMMANDS) == []
    fine = limits(around, TOPOLOGY)
    assert fine is not None
    assert fine.level == "ok"
    carrying = [around.queues[one.name] for one in TOPOLOGY.queues]
    assert "archive" not in message_size("4.0.5", carrying).what


PAUSED = Webhook("acme", "http://x/", paused_at=int((NOW - 20 * HOUR) * 1000))


RESUME = "webhook-worker webhook resume --id=default acme"
ACCEPT_GAP = "webhook-worker webhook resume --id=default --accept-gap acme"


def test_a_pause_is_told_since_when_and_how_it_ends() -> None:
    young = replace(PAUSED, id="second one", paused_at=int((NOW - HOUR) * 1000))
    (one,) = judged_pauses(paused([young, Webhook("b", "http://x/")], {}), STREAM, 24, NOW, kept=True)
    assert (one.level, one.items) == ("advice", ("acme/second one since 2027-01-15T07:00:00Z",))
    assert one.fix == "webhook-worker webhook resume '--id=second one' acme"
    assert judged_pauses([], STREAM, 24, NOW, kept=True) == []


def test_a_pause_counts_from_an_earlier_one_whose_replay_has_not_ended() -> None:
    began = int((NOW - 30 * HOUR) * 1000)
    asked = [("acme", "default", began - 50_000, State.SENDING), ("acme", "default", began + 7, State.QUEUED)]
    asked += [("acme", "default", 0, State.DONE), ("acme", "other", 0, State.QUEUED), ("b", "default", 0, State.QUEUED)]
    jobs = [Job(f"replay_{n}", Asked(*of, 0, Kind.RESUME), 0, state) for n, (*of, state) in enumerate(asked)]  # type: ignore[arg-type]
    replays = [Job("replay_r", Asked("acme", "default", 5, 6), 0)]
    (found,) = paused([PAUSED], missed_since(jobs + replays, 50))
    assert found.paused_at == began
    assert paused([PAUSED], {("acme", "default"): int(NOW * 1000)}) == [PAUSED]
    (told,) = judged_pauses([found], replace(STREAM, born=None, begins=NOW - 25 * HOUR), 24, NOW, kept=True)
    assert (told.level, told.fix) == ("problem", ACCEPT_GAP)


def test_a_pause_whose_beginning_the_archive_is_about_to_lose_or_has_lost() -> None:
    whole = replace(STREAM, born=NOW - 30 * HOUR)
    (soon,) = judged_pauses([PAUSED], whole, 24, NOW, kept=True)
    assert (soon.level, soon.fix) == ("warning", RESUME)
    (fits,) = judged_pauses([PAUSED], whole, 48, NOW, kept=True)
    assert fits.level == "advice"
    cut = replace(STREAM, born=None, begins=NOW - 6 * HOUR)
    made_later = replace(STREAM, born=NOW - 6 * HOUR)
    for seen, kept in ((cut, True), (made_later, True), (ABSENT, True), (whole, False)):
        (lost,) = judged_pauses([PAUSED], seen, 24, NOW, kept=kept)
        assert lost.level == "problem"
        assert lost.fix.removeprefix("a worker with ARCHIVE=true, then ") == ACCEPT_GAP
        assert lost.fix.startswith("a worker") == (seen is ABSENT or not kept)
