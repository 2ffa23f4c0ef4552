"""What a notice says, and that it travels as an event of its own."""

import argparse
import shlex
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker import cli
from worker.broker.past_headers import headers_of, past_in
from worker.domain.event import parse
from worker.domain.notices.notice import LONGEST_TEXT, Data, Kind, Notice, Sample, data_in

NOTICE = Notice(Kind.DISABLED, 1_795_000_000.0, "acme", "default", "answered 410")
COMMAND_LINE = cli.parser()
ABOUT_A_WEBHOOK = (Kind.FAILING, Kind.RECOVERED, Kind.DISABLED, Kind.DEAD)

ids = st.from_regex(r"[A-Za-z0-9._-]{1,64}", fullmatch=True).filter(lambda found: found != "--")  # argparse drops it
names = st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=255)


def parsed(command: str | None) -> argparse.Namespace:
    """As the shell and the command line read what was pasted."""
    assert command is not None
    program, *words = shlex.split(command)
    assert program == "webhook-worker"
    return COMMAND_LINE.parse_args(words)


def test_a_notice_is_an_event_whose_data_it_is() -> None:
    sample = Sample("msg_1", "MESSAGES_UPSERT", 410, "gone")
    event = parse(replace(NOTICE, sample=sample, since=1_794_999_000.5).message())
    assert (event.name, event.instance) == ("webhook.disabled", "acme")
    fix = "webhook-worker webhook set --id=default --enabled acme"
    assert data_in(event) == Data("acme", "default", "2026-11-18T10:50:00Z", "answered 410", sample, fix)


def test_its_past_goes_through_the_broker_and_never_looks_like_an_event_of_evolutions() -> None:
    past = NOTICE.past("notice:default")
    assert past_in(headers_of(past)) == past
    assert (past.webhook_id, past.exchange, past.routing_key) == ("notice:default", "", "notices")


def test_the_same_thing_has_one_id_whoever_says_it_and_whenever() -> None:
    since = replace(NOTICE, since=1_794_000_000.0)
    assert since.event_id == replace(since, at=since.at + 60, reason="another").event_id
    others = (
        replace(since, since=1_794_000_001.0),
        replace(since, kind=Kind.FAILING),
        replace(since, instance="acm", webhook="edefault"),
        replace(since, webhook=None),
        NOTICE,
    )
    assert len({other.event_id for other in (since, *others)}) == 6


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("to https://user:word@h.example/x", "to https://***@h.example/x"),
        ("to https://h.example/x?token=secret#part now", "to https://h.example/x?… now"),
        ("to HTTPS://h.example#secret", "to HTTPS://h.example?…"),
        ('{"url":"http://h/?key=secret","n":1}', '{"url":"http://h/?…","n":1}'),
        ("why? no #1", "why? no #1"),
        ("half \ud83d", "half ?"),
        ("x" * (LONGEST_TEXT + 1), "x" * (LONGEST_TEXT - 1) + "…"),
    ],
)
def test_reasons_and_answers_have_no_part_of_a_url_that_may_be_secret(text: str, shown: str) -> None:
    data = replace(NOTICE, reason=text, sample=Sample("msg_1", None, None, text)).data
    assert data.reason == shown
    assert data.sample is not None
    assert data.sample.answer == shown


@given(names, ids, st.sampled_from(ABOUT_A_WEBHOOK))
def test_the_fix_of_any_name_is_a_command_about_exactly_that(instance: str, webhook: str, kind: Kind) -> None:
    options = parsed(replace(NOTICE, kind=kind, instance=instance, webhook=webhook).data.fix)
    assert options.instance == instance
    assert getattr(options, "id", None) == webhook or getattr(options, "webhook", None) == webhook


def test_the_fix_of_a_disabled_webhook_enables_it() -> None:
    assert parsed(NOTICE.data.fix).enabled is True


@pytest.mark.parametrize("kind", [*Kind])
def test_every_notice_about_the_global_webhook_or_none_has_a_fix(kind: Kind) -> None:
    for webhook in ("global", None):
        notice = Notice(kind, 1.0, "", webhook, "why")
        options = parsed(notice.data.fix)
        assert getattr(options, "webhook", None) in (webhook, None)
        assert parse(notice.message()).instance == "worker"


def test_what_is_no_notice_is_not_read_as_one() -> None:
    with pytest.raises(ValueError, match="no notice"):
        data_in(parse(b'{"event":"webhook.failing","instance":"acme","data":{"key":1}}'))
