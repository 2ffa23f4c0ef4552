"""What check and doctor say of those who hear of webhooks."""

from __future__ import annotations

import pytest

from worker.doctor.notices import finding, untold
from worker.domain.webhook import Webhook
from worker.settings.settings import Settings, load

HEARS = Webhook("acme", "https://h.example/", alert_url="https://alerts.example/")
DEAF = Webhook("shop", "https://h.example/")


def settings(**given: str) -> Settings:
    return load(given, None)[0]


def test_nobody_hears_by_default_and_nothing_is_said() -> None:
    assert finding(settings(), [DEAF]) is None
    assert untold(settings(HISTORY="off"), [DEAF]) is None


def test_who_hears_is_counted() -> None:
    found = finding(settings(OPS_WEBHOOK_URL="https://ops.example/"), [HEARS, DEAF])
    assert found is not None
    assert (found.level, found.what) == ("ok", "2 addresses hear of webhooks that fail")


@pytest.mark.parametrize(
    ("history", "lacking"), [("off", "of disabled webhooks only"), ("failures", "no webhook that fails or recovers")]
)
def test_what_owners_do_not_hear_for_want_of_a_history_is_said(history: str, lacking: str) -> None:
    found = finding(settings(HISTORY=history), [HEARS, HEARS, DEAF])
    assert found is not None
    assert (found.level, found.fix) == ("warning", "HISTORY=all")
    assert found.what.startswith(f"HISTORY={history}: the alert_url of 2 webhooks hears")
    assert lacking in found.what
