"""The answer that nearly every POST gets, read without a parser: a 2xx, whole, on a connection that stays."""

import re

LONGEST_BYTES = 4096
"""A longer one, body included, is left to aiohttp's parser, which has bounds for it."""

_FIELD = rb"(?!content-length:|connection:|transfer-encoding:|upgrade:)[!#-'*+\-.^_`|~0-9A-Za-z]+:[\t -~\x80-\xff]*\r\n"
_FIELDS = rb"(?:%b|connection:[\t ]*keep-alive[\t ]*\r\n)*" % _FIELD
_PLAIN = re.compile(
    rb"HTTP/1\.1 (2[0-9]{2})(?: [\t -~\x80-\xff]*)?\r\n%b(?:content-length:[\t ]*([0-9]{1,4})[\t ]*\r\n%b)?\r\n"
    % (_FIELDS, _FIELDS),
    re.IGNORECASE,
).match


def plain_status(answer: bytes) -> int | None:
    """The status of an answer (RFC 9112, 4 to 6) that is all of what was read, and after which its connection is idle.

    None: it is another one, a part of one, or more. Stricter than any parser: what is taken here, each takes.
    """
    if len(answer) > LONGEST_BYTES or (found := _PLAIN(answer)) is None:
        return None
    status, length = found.groups()
    body = len(answer) - found.end()
    if length is None:
        return 204 if status == b"204" and not body else None  # any other one ends with its connection
    if body != int(length) or (body and status == b"204"):
        return None
    return int(status)
