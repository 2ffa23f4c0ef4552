"""How much of a URL each reader sees; never its password."""

import pytest

from worker.basics.masking import (
    authority_alone,
    text_without_credentials,
    without,
    without_credentials,
    without_secrets,
)

URL = "https://user:hunter2@h.example:8443/x?token=t0p#part"


@pytest.mark.parametrize(
    ("masked", "seen"),
    [
        (without_credentials, "https://***@h.example:8443/x?token=t0p#part"),
        (text_without_credentials, "https://***@h.example:8443/x?token=t0p#part"),
        (without_secrets, "https://h.example:8443/x"),
        (authority_alone, "https://***@h.example:8443…"),
    ],
)
def test_a_url_is_seen_without_its_password(masked: type[str], seen: str) -> None:
    assert masked(URL) == seen


def test_what_is_no_url_is_masked_as_a_whole() -> None:
    assert without_credentials("http://[::1/hunter2") == "***"


def test_urls_inside_a_text_lose_their_credentials() -> None:
    assert text_without_credentials(f"to {URL}: no") == "to https://***@h.example:8443/x?token=t0p#part: no"


@pytest.mark.parametrize(
    ("secret", "seen"), [("hunter2", "*** and ***"), (None, "hunter2 and hunter2"), ("", "hunter2 and hunter2")]
)
def test_a_known_secret_is_replaced_wherever_it_stands(secret: str | None, seen: str) -> None:
    assert without(secret, "hunter2 and hunter2") == seen
