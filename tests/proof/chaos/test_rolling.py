"""The short form of `make rolling`: two rolling updates; and proof that its judgement can fail."""

from __future__ import annotations

import pytest

from tests.proof.chaos.ledger import Figures
from tests.proof.chaos.rolling import LATE_SECONDS, Report, roll
from tests.support.local_broker import LocalBroker


@pytest.mark.timeout(300)
async def test_a_rolling_update_loses_nothing_repeats_nothing_and_delays_nothing(broker: LocalBroker) -> None:
    report = await roll(2, broker)
    print("\n".join(report.lines()))
    assert not report.problems, "\n".join(report.problems)
    assert report.figures.events >= 300
    assert report.figures.delivered == report.figures.deliveries - report.figures.skipped


@pytest.mark.parametrize(
    ("report", "violation"),
    [
        (Report(1, Figures(repeats=1)), "repeated"),
        (Report(1, Figures(unconfirmed=1)), "unconfirmed"),
        (Report(1, latest=LATE_SECONDS), "late"),
    ],
)
def test_what_a_rolling_update_may_not_bring_is_a_violation(report: Report, violation: str) -> None:
    report.judge()
    assert [problem.partition(":")[0] for problem in report.problems] == [violation]
