"""Three RabbitMQ nodes on loopback that form a cluster, and the links between them, which break when told to."""

from __future__ import annotations

from pathlib import Path

from tests.support.local_broker import CONFIG, PROGRAMS, LocalBroker
from tests.support.local_process import spawn, watch_over

COOKIE = "webhooks-cluster-cookie"
NODES = 3


class ClusterNode(LocalBroker):
    """One of them. The first one's port mapper serves all."""

    def __init__(self, handling: str, first: ClusterNode | None = None) -> None:
        super().__init__()
        self._handling = handling
        self._first = first
        if first is not None:
            self._epmd_port = first._epmd_port

    def _prepare_folder(self) -> Path:
        folder = super()._prepare_folder()
        cookie = folder / ".erlang.cookie"
        cookie.chmod(0o600)
        cookie.write_text(COOKIE)
        cookie.chmod(0o400)
        handling = f"[{{rabbit, [{{cluster_partition_handling, {self._handling}}},"
        (folder / "advanced.config").write_text(CONFIG.replace("[{rabbit, [", handling, 1))
        return folder

    def _launch(self, folder: Path) -> None:
        if self._first is None:
            super()._launch(folder)
            return
        self._server = spawn([str(PROGRAMS / "rabbitmq-server")], self._environment(), folder / "node.log")
        self._watch = watch_over([self._server.pid], folder)


class LocalCluster:
    """Blocking calls. `nodes` are all up; `close()`, or leaving the `with`, ends them and removes their data.

    `handling` is RabbitMQ's cluster_partition_handling: with `pause_minority` a node that sees no majority stops
    serving and comes back by itself, with `ignore` it goes on and tells its clients nothing.
    """

    def __init__(self, handling: str) -> None:
        first = ClusterNode(handling)
        self.nodes = [first, *(ClusterNode(handling, first) for _ in range(NODES - 1))]

    def __enter__(self) -> LocalCluster:
        try:
            for node in self.nodes:
                node.start()
            for node in self.nodes[1:]:
                for command in (["stop_app"], ["reset"], ["join_cluster", self.nodes[0].node], ["start_app"]):
                    node.ctl(*command)
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        for node in reversed(self.nodes):
            node.close()

    def blip(self, number: int) -> None:
        """The node's links to the others drop, and come back at once."""
        self._on(number, *(f"erlang:disconnect_node('{other.node}')" for other in self._others(number)))

    def cut_off(self, number: int) -> None:
        """The node's links to the others drop, and stay away."""
        for other in self._others(number):
            self._on(number, f"erlang:set_cookie('{other.node}', wrong)")
        self.blip(number)

    def join_again(self, number: int) -> None:
        for other in self._others(number):
            self._on(number, f"erlang:set_cookie('{other.node}', '{COOKIE}')")

    def _others(self, number: int) -> list[ClusterNode]:
        return [node for index, node in enumerate(self.nodes) if index != number]

    def _on(self, number: int, *terms: str) -> None:
        self.nodes[number].ctl("eval", ", ".join(terms) + ".")
