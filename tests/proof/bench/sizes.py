"""How much each scenario does: whole for the figures, small to see that it works."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Sizes:
    """`rounds` of throughput and the like; the longer scenarios take `few_rounds`."""

    rounds: int = 5
    few_rounds: int = 3
    count: int = 20_000
    """Events a round."""

    seconds: float = 8.0
    """That latency is measured for in each row and round."""

    backlog: int = 100_000
    storm: int = 50_000
    held: int = 2_000
    """Attempts in flight when their memory is measured."""

    instances: int = 10_000
    """The most, where their number is varied and their memory measured."""

    history: int = 10_000_000
    """Rows that are asked through."""


QUICK = Sizes(
    rounds=1,
    few_rounds=1,
    count=2_000,
    seconds=1.5,
    backlog=3_000,
    storm=2_000,
    held=300,
    instances=1_000,
    history=20_000,
)
