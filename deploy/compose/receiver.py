"""A sample receiver: prints each POST and answers 200. Standard library only; PORT is where it listens."""

import os
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

SHOWN = ("x-instance-name", "x-event-type", "webhook-id", "webhook-attempt")


class Handler(BaseHTTPRequestHandler):
    """Answers every POST; keeps connections open, as the worker likes them."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        facts = " ".join(self.headers.get(name, "-") for name in SHOWN)
        sys.stdout.write(f"{self.path} {facts} {body[:200]!r}\n")
        sys.stdout.flush()
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it so
        """Nothing: each POST has its line already."""


if __name__ == "__main__":
    ThreadingHTTPServer(("", int(os.environ.get("PORT") or 8080)), Handler).serve_forever()
