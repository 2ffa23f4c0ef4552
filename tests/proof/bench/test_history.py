"""The judgement of the bench of history can fail."""

from tests.proof.bench.history import AGAIN, APART, BOTH, BOTH_IN_A_FILE, KINDS, OFF, Price, table


def verdicts(**us: float) -> dict[str, str]:
    """By kind; 100 us a delivery without history."""
    prices = dict.fromkeys(KINDS, Price(0.0)) | {APART: Price(3.9), BOTH: Price(9.9), BOTH_IN_A_FILE: Price(9.9)}
    prices |= {name: Price(price) for name, price in us.items()}
    rows = [line.strip("| ").split(" | ") for line in table({name: [100.0] for name in KINDS}, prices)]
    return {row[0]: row[-1] for row in rows if row[0] in KINDS}


def test_what_is_within_its_budget_passes() -> None:
    assert verdicts() == dict.fromkeys((OFF, AGAIN, "failures", APART, BOTH, BOTH_IN_A_FILE), "pass")


def test_what_costs_more_than_it_may_fails() -> None:
    assert verdicts(**{APART: 4.1}) == {**verdicts(), APART: "**FAIL**"}
    assert verdicts(**{BOTH: 10.1}) == {**verdicts(), BOTH: "**FAIL**"}
    assert verdicts(**{BOTH_IN_A_FILE: 10.1}) == {**verdicts(), BOTH_IN_A_FILE: "**FAIL**"}
    assert verdicts(failures=1.1) == {**verdicts(), "failures": "**FAIL**"}
    assert verdicts(failures=0.9) == verdicts()
