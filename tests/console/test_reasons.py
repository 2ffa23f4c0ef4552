"""Each reason that somebody can see has a sentence, and no sentence is left over."""

from worker.console.reasons import FOR_GOOD, MEANINGS
from worker.deadletters.letter import LETTER_REASONS
from worker.history.asked import REASON_NAMES


def test_each_reason_has_a_meaning_and_each_meaning_a_reason() -> None:
    assert set(MEANINGS) == {*REASON_NAMES, *LETTER_REASONS}
    assert set(MEANINGS) > FOR_GOOD
