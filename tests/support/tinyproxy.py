"""tinyproxy as the proxy on the way out: it opens tunnels (CONNECT) for one user and logs each."""

from __future__ import annotations

import re
import socket

from tests.support.server import Server

USER, PASSWORD = "worker", "hunter2"

CONFIGURATION = """
Port {port}
Listen 127.0.0.1
Timeout 60
MaxClients 100
LogLevel Info
BasicAuth {user} {password}
"""


class Tinyproxy(Server):
    """One process on one port."""

    def prepare(self) -> None:
        text = CONFIGURATION.format(port=self.port, user=USER, password=PASSWORD)
        (self.folder / "tinyproxy.conf").write_text(text)

    def command(self) -> list[str]:
        return ["tinyproxy", "-d", "-c", f"{self.folder}/tinyproxy.conf"]

    def ready(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=5).close()
        except OSError:
            return False
        return True

    @property
    def uri(self) -> str:
        """Credentials included, as EGRESS_PROXY wants it."""
        return f"http://{USER}:{PASSWORD}@127.0.0.1:{self.port}"

    def tunnels(self) -> list[str]:
        """`host:port` of each CONNECT so far, as it was asked for."""
        return re.findall(r": CONNECT (\S+) HTTP", self.log())
