"""The alert rules: valid, each fires when it should and nothing else does, each has its runbook."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.deploy.alerts import DEPLOY, HEALTHY, RULES, TRAFFIC, Case, alerts, case, unit_tests
from tests.support.markdown import anchors
from tests.support.prometheus import promtool

BURN = "WebhookWorkerSloBurn"
FAST, SLOW, DAY, DAYS = BURN + "Fast", BURN + "Slow", BURN + "Day", BURN + "Days"

CASES = [
    case("healthy", 60),
    case("nobody is scraped", 8, "WebhookWorkerAbsent", build_info=None),
    case("one replica is gone", 60, build_info__b=None, broker_connected__b=None, consuming__b=None),
    case("no replica has a broker", 10, "WebhookWorkerBrokerDisconnected", broker_connected="0"),
    case("a restart of the broker", 10, broker_connected="1x5 0 0 1x20"),
    case("one replica has no broker", 20, "WebhookWorkerReplicaDisconnected", broker_connected__b="0"),
    case("connected without consuming", 10, "WebhookWorkerNotConsuming", consuming="0"),
    case("nothing is archived", 30, "WebhookWorkerNotArchiving", archiving="0"),
    case("one replica sees no archive yet", 60, archiving__b="0"),
    case("the archive comes a little later", 30, archiving="0x12 1x30"),
    case("no archive, as asked for", 60, archiving=None),
    case(
        "a broker that is away is told once",
        40,
        "WebhookWorkerBrokerDisconnected",
        archiving="0",
        broker_connected="0",
        consuming="0",
    ),
    case("a pause for bytes", 10, consuming="1x3 0 0 1x20"),
    case("the backlog grows old", 20, "WebhookWorkerEventsWaitTooLong", oldest_event_age_seconds__events="0+60x"),
    case("due retries grow old", 20, "WebhookWorkerEventsWaitTooLong", oldest_event_age_seconds__retries="0+60x"),
    case("a peak of five minutes", 20, oldest_event_age_seconds__events="0+60x7 1x20"),
    case("publishing fails", 20, "WebhookWorkerPublishFailing", publish_failures_total="0+5x"),
    case("publishing failed once", 12, publish_failures_total="3x4 90x20"),
    case("the broker does not confirm", 10, "WebhookWorkerPublishUnconfirmed", oldest_unconfirmed_publish_seconds="90"),
    case("our network is down", 10, "WebhookWorkerSelfFault", self_fault__a="1"),
    case("the proxy is down", 20, "WebhookWorkerProxyFailing", attempts_total__2xx="0", attempts_total__proxy="0+60x"),
    case("the proxy fails a third", 20, "WebhookWorkerProxyFailing", attempts_total__proxy="0+3000x"),
    case("the proxy was restarted", 30, attempts_total__proxy="0x9 6000x20"),
    case("a receiver is down behind the proxy", 60, attempts_total__proxy="0+2x"),
    case("the database is down", 20, "WebhookWorkerStoreUnavailable", config_lookups_total__stale="0+5x"),
    case("the database hiccuped", 20, config_lookups_total__error="0x3 9x20"),
    case("the loop lags", 10, "WebhookWorkerEventLoopLag", event_loop_lag_seconds__b="2.5"),
    case("the loop lagged once", 10, event_loop_lag_seconds__b="0x5 3 0x20"),
    case("reconnects all the time", 70, "WebhookWorkerReconnectsOften", broker_reconnects_total__b="0+1x"),
    case("nobody delivers in order", 10, "WebhookWorkerOrderedStuck", ordered_active__a="0"),
    case("a takeover", 10, ordered_active__a="1x4 0 0 1x20"),
    case("no siding is free", 10, "WebhookWorkerOrderedStuck", order_wait_seconds="0+60x"),
    case("order is off", 20, ordered_active=None, order_wait_seconds=None),
    case("a drain without end", 20, "WebhookWorkerDrainStuck", draining__b="1"),
    case("a drain of a minute", 20, draining__b="0x5 1 1 0x20"),
    case("receivers reject", 40, "WebhookWorkerDeadLettersGrowing", deliveries_total__rejected="0+1x"),
    case("receivers rejected a few", 40, deliveries_total__rejected="0x10 6x40"),
    case("dead letters pile up", 60, "WebhookWorkerDeadLettersMany", queue_messages__dead="150000"),
    case("an instance is silent", 10, "WebhookWorkerInstanceSilent", silent_instances="1"),
    case("an instance was silent for a moment", 20, silent_instances="0x5 1 1 0x20"),
    case("history's database is down", 20, "WebhookWorkerHistoryBehind", history_behind_seconds__b="0+60x"),
    case("history's database was restarted", 20, history_behind_seconds="0+60x5 1x20"),
    case("nobody writes history", 30, "WebhookWorkerHistoryUnread", queue_messages__history="0+1000x"),
    case("history overflows", 30, "WebhookWorkerHistoryLost", history_rows_dropped_total__b="7x10 500x30"),
    case("history lost some long ago", 90, history_rows_dropped_total__b="7x10 500x100"),
    case("a receiver is down", 20, "WebhookWorkerEndpointOpenForHours", endpoint_open_longest_seconds="20000"),
]
"""Evaluated every 30 s."""

BURNS = [
    # 6000 takings a minute: 120 failed are 2 % (20 times the budget), 48 are 0.8 % (8 times), 24 0.4 %, 9 0.15 %.
    case("2 % fail for an hour", 70, FAST, SLOW, DAY, deliveries_total__config_unavailable="0+120x"),
    case("0.8 % fail for a day", 1500, SLOW, DAY, DAYS, deliveries_total__config_unavailable="0+48x"),
    case("0.4 % fail for a day", 1560, DAY, DAYS, deliveries_total__handed_back="0+24x"),
    case("0.15 % fail for a day", 1560, DAYS, deliveries_total__handed_back="0+9x"),
    case("0.05 % fail for a day", 1560, deliveries_total__handed_back="0+3x"),
    case(
        "all receivers fail for a day",
        1560,
        deliveries_total__ok="0",
        deliveries_total__5xx="0+3000x",
        deliveries_total__circuit_open="0+3000x",
    ),
    case("a fault that is over pages no more", 150, DAY, deliveries_total__config_unavailable="0+240x60 14400x90"),
    case("one odd message at night", 70, deliveries_total__ok="0+0.1x", deliveries_total__handed_back="0x30 1x60"),
]
"""Evaluated every five minutes."""


def run(cases: list[Case], interval: str, base: Mapping[str, str], folder: Path) -> None:
    file = folder / "tests.yaml"
    file.write_text(unit_tests(cases, interval, base))
    promtool("test", "rules", file)


def test_the_rules_are_valid() -> None:
    assert f"{RULES}" in promtool("check", "rules", RULES)


def test_each_alert_fires_when_it_should_and_no_other_does(tmp_path: Path) -> None:
    run(CASES, "30s", HEALTHY, tmp_path)


def test_budget_burns_alert_by_their_speed_and_receivers_never_burn_it(tmp_path: Path) -> None:
    run(BURNS, "5m", TRAFFIC, tmp_path)


def test_every_alert_has_a_case_that_fires_it() -> None:
    fired = frozenset[str]().union(*(one.fires for one in CASES + BURNS))
    assert fired == {rule["alert"] for rule in alerts()}


@pytest.mark.parametrize("rule", alerts(), ids=lambda rule: rule["alert"])
def test_an_alert_says_how_urgent_it_is_and_where_its_runbook_is(rule: dict[str, dict[str, str]]) -> None:
    assert rule["labels"]["severity"] in {"page", "ticket"}
    file, _, anchor = rule["annotations"]["runbook"].partition("#")
    assert (DEPLOY.parent / file).resolve() == DEPLOY / "README.md"
    assert anchor in anchors(DEPLOY / "README.md")
    assert rule["annotations"]["summary"]


def test_receivers_never_page() -> None:
    theirs = ("5xx", "4xx", "timeout", "circuit_open", "endpoint_busy", "DeadLettered", "endpoints_open", "attempts_")
    pages = [rule for rule in alerts() if rule["labels"]["severity"] == "page"]
    assert pages
    assert not [rule["alert"] for rule in pages if any(word in rule["expr"] for word in theirs)]
