"""What hostile and broken receivers answer, as bytes: for the sender's tests and for the conformance kit."""

from __future__ import annotations

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
HEAD = b"HTTP/1.1 200 OK\r\n"
CHUNKED = HEAD + b"transfer-encoding: chunked\r\n\r\n"
INTERIM = b"HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n"

ANSWERS = {
    "length too short": HEAD + b"content-length: 2\r\n\r\nok, and more than that",
    "garbage after the answer": OK + b"\x00\xff garbage \r\n\r\n",
    "a second answer that nobody asked for": OK + b"HTTP/1.1 500 No\r\ncontent-length: 0\r\n\r\n",
    "204 with a body": b"HTTP/1.1 204 No Content\r\n\r\nbut here it is",
    "204 with a length": b"HTTP/1.1 204 No Content\r\ncontent-length: 5\r\n\r\nhello",
    "chunk size that is none": CHUNKED + b"zz\r\nok\r\n0\r\n\r\n",
    "chunk longer than said": CHUNKED + b"2\r\nokay\r\n0\r\n\r\n",
    "chunk of a size beyond counting": CHUNKED + b"ffffffffffffffffffff\r\nok",
    "continue first": b"HTTP/1.1 100 Continue\r\n\r\n" + OK,
    "many interim answers": b"HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n" * 200 + OK,
    "cookies that are none": HEAD + b'set-cookie: =;;; "\xff\r\n' * 50 + b"content-length: 0\r\n\r\n",
    "encoding that nobody knows": HEAD + b"content-encoding: zorro\r\ncontent-length: 2\r\n\r\nok",
    "gzip that is none": HEAD + b"content-encoding: gzip\r\ncontent-length: 2\r\n\r\nok",
    "redirect without a target": b"HTTP/1.1 200 OK\r\nlocation: http://[::1\r\ncontent-length: 0\r\n\r\n",
    "no reason phrase": b"HTTP/1.1 200\r\ncontent-length: 0\r\n\r\n",
}
"""A status line, and what follows it does not matter."""

CUT_BODIES = {
    "declared": HEAD + b"content-length: 10\r\n\r\nhalf",
    "chunked": CHUNKED + b"4\r\nhalf\r\n",
    "within a chunk": CHUNKED + b"8\r\nhalf",
    "until the end": HEAD + b"\r\nhalf",
    "HTTP/1.0": b"HTTP/1.0 200 OK\r\n\r\nhalf",
    "nothing of it": HEAD + b"content-length: 10\r\n\r\n",
}
"""The connection ends, or nothing more comes, within these."""

BROKEN_HEADERS = {
    "header without a name": b": x\r\n\r\n",
    "header without a colon": b"this is none\r\n\r\n",
    "NUL in a value": b"x: \x00\r\n\r\n",
    "two lengths": b"content-length: 1\r\ncontent-length: 2\r\n\r\nok",
    "length and chunks": b"content-length: 1\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    "negative length": b"content-length: -1\r\n\r\nok",
    "1 MB in one header": b"x: " + b"a" * 1_000_000 + b"\r\n\r\n",
    "1 MB in many headers": b"".join(b"x-%d: %s\r\n" % (n, b"a" * 1000) for n in range(1000)) + b"\r\n",
    "10,000 headers": b"".join(b"x-%d: a\r\n" % n for n in range(10_000)) + b"content-length: 0\r\n\r\n",
}
"""What may follow a status line instead of headers that can be read."""
