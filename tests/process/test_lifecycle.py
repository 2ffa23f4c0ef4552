"""What the process does for itself."""

import subprocess
import sys

import pytest

MADE = 250_000


@pytest.mark.parametrize(
    ("held", "most"),
    [
        pytest.param(1, 7_500, id="what dies at once"),
        pytest.param(20_000, 100_000, id="what dies as late as a connection"),
    ],
)
def test_garbage_in_cycles_is_bounded_however_late_it_dies(held: int, most: int) -> None:
    command = [sys.executable, "-m", "tests.process.garbage", str(MADE), str(held)]
    answer = subprocess.run(command, check=True, capture_output=True, text=True)
    assert 0 < int(answer.stdout) <= most


def test_a_thread_that_computes_gives_way_to_deliveries_within_a_millisecond() -> None:
    program = "from worker.process.lifecycle import *; let_deliveries_through(); print(sys.getswitchinterval())"
    answer = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert 0 < float(answer.stdout) < 0.001
