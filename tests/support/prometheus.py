"""A real Prometheus and promtool, from Debian."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import urlopen

from tests.support.server import Server

CONFIG = """global: {{scrape_interval: {interval}, evaluation_interval: {interval}}}
rule_files: {rules}
scrape_configs:
- job_name: webhook-worker
  static_configs: {targets}
"""


class Prometheus(Server):
    """Scrapes `targets` ("127.0.0.1:9464") every `interval` and evaluates `rules`; blocking calls.

    As a mapping the targets have names, which stand in the label `instance`.
    """

    def __init__(
        self, targets: Sequence[str] | Mapping[str, str], rules: Sequence[Path] = (), interval: str = "500ms"
    ) -> None:
        super().__init__()
        self._rules, self._interval = rules, interval
        if isinstance(targets, Mapping):
            self._targets = [{"targets": [at], "labels": {"instance": name}} for name, at in targets.items()]
        else:
            self._targets = [{"targets": list(targets), "labels": {}}]

    def prepare(self) -> None:
        rules = json.dumps([str(path.resolve()) for path in self._rules])
        config = CONFIG.format(interval=self._interval, rules=rules, targets=json.dumps(self._targets))
        (self.folder / "prometheus.yml").write_text(config)

    def command(self) -> list[str]:
        return [
            "/usr/bin/prometheus",
            f"--config.file={self.folder}/prometheus.yml",
            f"--storage.tsdb.path={self.folder}/data",
            f"--web.listen-address=127.0.0.1:{self.port}",
            "--web.console.templates=",
            "--web.console.libraries=",
        ]

    def ready(self) -> bool:
        try:
            with urlopen(f"{self.url}/-/ready", timeout=2) as answer:
                return bool(answer.status == 200)
        except HTTPError as not_yet:
            not_yet.close()
            return False
        except OSError:
            return False

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The result of an instant query: `[{"metric": {...}, "value": [time, "1"]}, ...]`."""
        found: list[dict[str, Any]] = self.api("query", query=expression)["result"]
        return found

    def api(self, path: str, **parameters: str) -> Any:
        """`data` of an answer of /api/v1: `api("alerts")`, `api("targets")`, `api("query_range", ...)`."""
        with urlopen(f"{self.url}/api/v1/{path}?{urlencode(parameters)}", timeout=10) as answer:
            return json.load(answer)["data"]


def promtool(*arguments: str | Path, text: str | None = None) -> str:
    """What promtool says; AssertionError with it if it finds fault. `text` is its standard input."""
    done = subprocess.run(
        ["/usr/bin/promtool", *map(str, arguments)], input=text, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"promtool {arguments}: {done.stdout}{done.stderr}"
    return done.stdout
