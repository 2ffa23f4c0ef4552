"""The same MAC as the standard library's, of any key and in any pieces."""

import hmac

from hypothesis import given
from hypothesis import strategies as st

from worker.domain.request.hmac_key import HmacKey

PIECES = st.one_of(st.binary(max_size=200), st.just(b"x" * 3000), st.just(b"x" * 20_000))


@given(
    st.one_of(st.binary(max_size=63), st.binary(min_size=64, max_size=64), st.binary(min_size=65, max_size=200)),
    st.lists(st.tuples(PIECES, PIECES), min_size=1, max_size=3),
)
def test_a_key_gives_the_macs_of_the_standard_library_again_and_again(
    key: bytes, messages: list[tuple[bytes, bytes]]
) -> None:
    ours = HmacKey(key)
    for prefix, content in messages:
        assert ours.digest(prefix, content) == hmac.digest(key, prefix + content, "sha256")
