"""The alert rules as data, and promtool's unit tests made from short cases."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

DEPLOY = Path(__file__).parent.parent.parent / "deploy"
RULES = DEPLOY / "prometheus" / "alerts.yaml"
P = "webhook_worker_"

HEALTHY = {
    **{f'{P}build_info{{job="w",instance="{i}",version="0"}}': "1" for i in "ab"},
    **{f'{P}broker_connected{{job="w",instance="{i}"}}': "1" for i in "ab"},
    **{f'{P}consuming{{job="w",instance="{i}"}}': "1" for i in "ab"},
    **{f'{P}archiving{{job="w",instance="{i}"}}': "1" for i in "ab"},
    **{f'{P}draining{{job="w",instance="{i}"}}': "0" for i in "ab"},
    **{f'{P}self_fault{{job="w",instance="{i}"}}': "0" for i in "ab"},
    **{f'{P}event_loop_lag_seconds{{job="w",instance="{i}"}}': "0.02" for i in "ab"},
    **{f'{P}broker_reconnects_total{{job="w",instance="{i}"}}': "1" for i in "ab"},
    **{f'{P}publish_failures_total{{job="w",instance="{i}"}}': "3" for i in "ab"},
    f'{P}ordered_active{{job="w",instance="a"}}': "1",
    f'{P}ordered_active{{job="w",instance="b"}}': "0",
    f'{P}order_wait_seconds{{job="w",instance="a"}}': "0.5",
    f'{P}oldest_unconfirmed_publish_seconds{{job="w",instance="a"}}': "0.2",
    f'{P}oldest_event_age_seconds{{job="w",instance="a",queue="events"}}': "1",
    f'{P}oldest_event_age_seconds{{job="w",instance="a",queue="retries"}}': "1",
    f'{P}endpoint_open_longest_seconds{{job="w",instance="a"}}': "600",
    f'{P}queue_messages{{job="w",instance="a",queue="webhooks.dead"}}': "12",
    f'{P}queue_messages{{job="w",instance="a",queue="webhooks.history"}}': "40",
    **{f'{P}silent_instances{{job="w",instance="{i}"}}': "0" for i in "ab"},
    **{f'{P}history_behind_seconds{{job="w",instance="{i}"}}': "1" for i in "ab"},
    **{f'{P}history_rows_dropped_total{{job="w",instance="{i}"}}': "7" for i in "ab"},
    f'{P}config_lookups_total{{job="w",instance="a",result="hit"}}': "0+6000x",
    f'{P}config_lookups_total{{job="w",instance="a",result="stale"}}': "0",
    f'{P}config_lookups_total{{job="w",instance="a",result="error"}}': "0",
    f'{P}attempts_total{{job="w",instance="a",result="2xx"}}': "0+6000x",
    f'{P}attempts_total{{job="w",instance="a",result="proxy"}}': "0",
    f'{P}deliveries_total{{job="w",instance="a",outcome="Delivered",reason="ok"}}': "0+6000x",
    f'{P}deliveries_total{{job="w",instance="a",outcome="DeadLettered",reason="rejected"}}': "0",
    f'{P}deliveries_total{{job="w",instance="a",outcome="Retried",reason="5xx"}}': "0",
    f'{P}deliveries_total{{job="w",instance="a",outcome="Parked",reason="circuit_open"}}': "0",
    f'{P}deliveries_total{{job="w",instance="a",outcome="Parked",reason="config_unavailable"}}': "0",
    f'{P}deliveries_total{{job="w",instance="a",outcome="Parked",reason="handed_back"}}': "0",
}
"""Two healthy replicas, in promtool's notation, one value a minute (`0+6000x`: 6000 more each minute)."""

TRAFFIC = {key: text for key, text in HEALTHY.items() if key.startswith((P + "deliveries_total", P + "build_info"))}
"""What the budget is computed from: days of it are quickly evaluated."""


@dataclass(frozen=True, slots=True)
class Case:
    """`changes` replace or add series of HEALTHY (None removes one); at `minute` exactly `fires` are firing."""

    name: str
    minute: int
    fires: frozenset[str]
    changes: Mapping[str, str | None]


def case(name: str, minute: int, *fires: str, **changes: str | None) -> Case:
    """Series by keyword: every series of HEALTHY whose name begins with it, or `family__end` those with
    a label value that ends so."""
    series: dict[str, str | None] = {}
    for short, values in changes.items():
        family, _, label = short.partition("__")
        found = [key for key in HEALTHY if key.startswith(P + family + "{") and f'{label}"' in key]
        assert found, f"no such series: {short}"
        series |= dict.fromkeys(found, values)
    return Case(name, minute, frozenset(fires), series)


def alerts() -> list[dict[str, Any]]:
    """Every alerting rule of the file."""
    groups = yaml.safe_load(RULES.read_text())["groups"]
    return [rule for group in groups for rule in group["rules"] if "alert" in rule]


def metrics_in(expression: str) -> set[str]:
    """The worker's metrics that an expression reads, with the prefix."""
    return set(re.findall(rf"\b{P}\w+", expression))


def unit_tests(cases: list[Case], interval: str, base: Mapping[str, str]) -> str:
    """A file for `promtool test rules`: one group a case, each on top of `base`, evaluated every `interval`."""
    return json.dumps(
        {
            "rule_files": [str(RULES.resolve())],
            "evaluation_interval": interval,
            "tests": [_group(one, base) for one in cases],
        }
    )


def _group(one: Case, base: Mapping[str, str]) -> dict[str, Any]:
    values = {**base, **one.changes}
    firing = 'count by (alertname) (ALERTS{alertstate="firing"}) > bool 0'
    expected = [{"labels": f'{{alertname="{name}"}}', "value": 1} for name in sorted(one.fires)]
    return {
        "name": one.name,
        "interval": "1m",
        "input_series": [
            {"series": series, "values": _long(text, one.minute)} for series, text in values.items() if text is not None
        ],
        "promql_expr_test": [{"expr": firing, "eval_time": f"{one.minute}m", "exp_samples": expected}],
    }


def _long(text: str, minutes: int) -> str:
    """`5` for the whole time; a ramp that names no length likewise."""
    last = text.rsplit(maxsplit=1)[-1]
    if last.endswith("x"):
        return f"{text}{minutes}"
    return text if "x" in last else f"{text}x{minutes}"
