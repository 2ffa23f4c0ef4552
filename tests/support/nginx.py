"""nginx as a receiver that costs next to nothing: it answers every POST and counts them."""

from __future__ import annotations

import urllib.request

from tests.support.server import Server

CONFIGURATION = """
daemon off; master_process off; pid {folder}/nginx.pid; error_log {folder}/error.log warn;
events {{ worker_connections 4096; }}
http {{
  access_log off; keepalive_requests 10000000; keepalive_timeout 120s;
  client_max_body_size 64m; client_body_buffer_size 2m; client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fcgi; uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    location = /counted {{ stub_status; }}
    location / {{ return 200 "ok"; }}
  }}
}}
"""


class Nginx(Server):
    """One process on one port."""

    def prepare(self) -> None:
        text = CONFIGURATION.format(folder=self.folder, port=self.port)
        (self.folder / "nginx.conf").write_text(text)

    def command(self) -> list[str]:
        return ["nginx", "-c", f"{self.folder}/nginx.conf", "-e", f"{self.folder}/error.log"]

    def ready(self) -> bool:
        try:
            return self.requests() > 0
        except OSError:
            return False

    def url(self, path: str = "") -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    @property
    def pid(self) -> int:
        assert self._process is not None, "the server has not been started"
        return self._process.pid

    def requests(self) -> int:
        """Requests answered so far, the asking one included (stub_status)."""
        with urllib.request.urlopen(self.url("/counted"), timeout=5) as answer:
            lines = answer.read().decode().splitlines()
        return int(lines[2].split()[2])
