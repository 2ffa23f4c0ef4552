"""The head as it is written at once is the head that is written line by line."""

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from worker.http.exchange import head_of

TARGET = URL("https://hooks.example:8443/a%2Fb?c=d", encoded=True)
NAMES = st.one_of(
    st.sampled_from(["Host", "host", "HOST", "X-Host", "hostess", "webhook-id", "Authorization"]),
    st.text("abcHOST-", min_size=1, max_size=8),
)
VALUES = st.one_of(
    st.sampled_from(["", "v", "host: x", "other.example", "x\r\nhost: evil", "x\nhost: evil", "\0", "\r"]),
    st.text("ab: \u00e4", max_size=8),
)


def line_by_line(url: URL, host: str, headers: Mapping[str, str], length: int) -> bytes:
    """The plain way: each header by itself; the last `Host`, however it is spelled, is the one that is sent."""
    lines = [f"POST {url.raw_path_qs} HTTP/1.1", f"Host: {host}"]
    for name, value in headers.items():
        if name.lower() == "host":
            lines[1] = f"Host: {value}"
        else:
            lines.append(f"{name}: {value}")
    lines.append(f"Content-Length: {length}")
    if any(sign in line for line in lines for sign in "\r\n\0"):
        raise ValueError("a line break or NUL inside the URL or a header")
    return "".join(f"{line}\r\n" for line in (*lines, "")).encode()


@given(st.dictionaries(NAMES, VALUES, max_size=6), st.integers(0, 10**9))
def test_a_head_is_the_same_as_line_by_line(headers: dict[str, str], length: int) -> None:
    try:
        expected = line_by_line(TARGET, "hooks.example:8443", headers, length)
    except ValueError:
        with pytest.raises(ValueError, match="line break or NUL"):
            head_of(TARGET, "hooks.example:8443", headers, length)
    else:
        assert head_of(TARGET, "hooks.example:8443", headers, length) == expected
