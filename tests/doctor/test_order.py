"""What doctor says of ordered delivery."""

from __future__ import annotations

from dataclasses import replace

from tests.doctor.builders import COMMANDS, EXCHANGE, TOPOLOGY, bound, queue, view
from worker.broker.topology import ordered_queue
from worker.doctor.check import in_order
from worker.doctor.finding import Finding
from worker.doctor.order import order
from worker.doctor.view import BrokerView
from worker.domain.webhook import Webhook
from worker.settings.settings import load

ORDERED = replace(TOPOLOGY, ordered=ordered_queue("webhooks"))
BOUND = [bound("webhooks.ordered", "#")]


def judged(seen: BrokerView, *, wanted: bool = True) -> Finding | None:
    return order(seen, ORDERED if wanted else TOPOLOGY, COMMANDS, "webhooks")


def test_without_order_and_its_queue_there_is_nothing_to_say() -> None:
    assert judged(view(), wanted=False) is None
    assert judged(view()) is None, "no worker has run yet"


def test_all_is_well() -> None:
    found = judged(view(queue("webhooks.ordered", consumers=2), bindings=BOUND))
    assert found == Finding("ok", "order", "2 replicas on webhooks.ordered, one of them active")
    seen = replace(view(queue("webhooks.ordered", consumers=2), bindings=BOUND), active="10.0.0.7:4711")
    found = judged(seen)
    assert found is not None
    assert found.what.endswith("the one at 10.0.0.7:4711 is active")
    early = judged(replace(seen, complete=False))
    assert early is not None
    assert (early.level, "not complete yet" in early.what) == ("advice", True)


def test_a_missing_binding_and_a_missing_consumer_are_problems() -> None:
    unbound = judged(view(queue("webhooks.ordered", consumers=2), bindings=[]))
    assert unbound is not None
    assert (unbound.level, EXCHANGE in unbound.what) == ("problem", True)
    unread = judged(view(queue("webhooks.ordered", 7), bindings=BOUND))
    assert unread is not None
    assert (unread.level, "7 events wait" in unread.what) == ("problem", True)


def test_receivers_that_are_down_are_named_by_their_sidings() -> None:
    sidings = [queue("webhooks.ordered.1", 40), queue("webhooks.ordered.2"), queue("webhooks.ordered.3", 2)]
    found = judged(view(queue("webhooks.ordered", consumers=1), *sidings, bindings=BOUND))
    assert found is not None
    where = "webhooks.ordered.1, webhooks.ordered.3"
    assert found.what == f"2 receivers down: about 42 events wait in {where}; one of them active"


def test_the_oldest_event_of_a_siding_is_named_by_the_moment_it_came() -> None:
    seen = view(queue("webhooks.ordered", consumers=1), queue("webhooks.ordered.3", 2), bindings=BOUND)
    found = judged(replace(seen, oldest=("webhooks.ordered.3", 1_795_000_000.0)))
    assert found is not None
    assert "wait in webhooks.ordered.3, the oldest in webhooks.ordered.3 since 2026-11-18T11:06:40Z; one" in found.what


def test_what_is_left_after_order_was_switched_off_is_to_be_served_and_then_deleted() -> None:
    waiting = judged(view(queue("webhooks.ordered"), queue("webhooks.ordered.1", 3)), wanted=False)
    assert waiting is not None
    assert "3 events wait" in waiting.what
    empty = judged(view(queue("webhooks.ordered"), queue("webhooks.ordered.1")), wanted=False)
    assert empty is not None
    assert empty.level == "advice"
    assert "webhooks.ordered.1" in empty.fix


def test_check_counts_the_webhooks_with_an_order_and_complains_where_nobody_keeps_it() -> None:
    plain = Webhook("acme", "https://bot.example/in")
    chat, switching = replace(plain, order="chat"), replace(plain, id="b", order_next="chat", order_switch_at=1)
    wanted, _ = load({"ORDER": "true"}, None)
    assert in_order(wanted, [plain]) is None
    assert in_order(wanted, [plain, chat, switching]) == ("order (2 webhooks, 1 of them being switched)", None)
    name, problem = in_order(load({}, None)[0], [chat]) or ("", None)
    assert name == "order (1 webhooks)"
    assert problem is not None
    assert "set ORDER=true" in problem
