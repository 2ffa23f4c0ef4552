"""The judgement of the bench of history can fail."""

from tests.proof.bench.history import AGAIN, APART, BOTH, KINDS, OFF, table


def verdicts(**changed: float) -> dict[str, str]:
    """By kind; 100 us and 500,000 instructions without history."""
    counted = dict.fromkeys(KINDS, 500_000.0) | {APART: 519_000, BOTH: 549_000} | changed
    rows = [line.strip("| ").split(" | ") for line in table({name: [100.0] for name in KINDS}, counted)]
    return {row[0]: row[-1] for row in rows if row[0] in KINDS}


def test_what_is_within_its_budget_passes() -> None:
    assert set(verdicts().values()) == {"pass"}


def test_what_costs_more_than_it_may_fails() -> None:
    assert verdicts(**{APART: 521_000}) == {**verdicts(), APART: "**FAIL**"}
    assert verdicts(**{BOTH: 551_000}) == {**verdicts(), BOTH: "**FAIL**"}
    assert verdicts(failures=506_000) == {**verdicts(), "failures": "**FAIL**"}


def test_noise_above_a_hundredth_fails() -> None:
    for noisy in (494_000, 506_000):
        assert verdicts(**{AGAIN: noisy})[AGAIN] == "**FAIL**"
    assert verdicts()[OFF] == "pass"


def test_without_instructions_nothing_is_judged() -> None:
    assert not {"pass", "**FAIL**"} & set(verdicts(**dict.fromkeys(KINDS, 0.0)).values())
