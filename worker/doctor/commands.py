"""The commands that fixes consist of."""

import json
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from worker.broker.consuming.plan import go_queues
from worker.broker.topology import DELIVERY_LIMIT

UNREAD_POLICY: Mapping[str, object] = {"max-length": 1000, "max-length-bytes": 50_000_000, "overflow": "drop-head"}
"""For Evolution's queues that nobody reads; README.md has the same."""

_EVENTS = (  # the first words of all of Evolution's events
    "application|qrcode|connection|messages|messaging|send|contacts|presence|chats|groups?|labels|typebot|call|instance"
    "|status|remove|logout|new|chama"
)
_GO = "|".join(go_queues())
_INSTANCE_ID = "[0-9a-f-]{36}"
LOOPED = 40
"""Names in one command."""


@dataclass(frozen=True, slots=True)
class Needs:
    """What the worker's rights depend on. `evolution_prefix`: of Evolution's queues where the worker reads those."""

    exchange: str
    evolution_prefix: str | None = None
    instance_exchanges: bool = False
    instance_queues: bool = False
    declares: bool = True


class Commands:
    """For one virtual host and one WORKER_QUEUE_PREFIX."""

    def __init__(self, vhost: str, own_prefix: str) -> None:
        self._vhost = [] if vhost == "/" else ["--vhost", vhost]
        self._own_prefix = own_prefix

    @property
    def own_prefix(self) -> str:
        """WORKER_QUEUE_PREFIX."""
        return self._own_prefix

    @property
    def unread_pattern(self) -> str:
        """Matches Evolution's queues in every spelling, with any prefix but ours."""
        return rf"^(?!{re.escape(self._own_prefix)}\.)(.+\.)?({_EVENTS})([.-][a-z.-]+)?$"

    def ctl(self, command: str, *arguments: str) -> str:
        """`rabbitmqctl`, quoted for a shell."""
        return shlex.join(["rabbitmqctl", command, *self._vhost, *arguments])

    def cap_unread(self) -> str:
        definition = json.dumps(UNREAD_POLICY, separators=(",", ":"))
        return self.ctl("set_policy", "--apply-to", "queues", "evolution-unread", self.unread_pattern, definition)

    def keep_read(self, dead: str) -> str:
        """A policy for those that the worker reads (RABBITMQ_SOURCE=queues): a limit, and where to give up to."""
        return self._keep("evolution-read", self.unread_pattern, dead)

    def keep_read_of_go(self, dead: str) -> str:
        """The same for Evolution Go's queues, the global ones and those of instances."""
        return self._keep("evolution-go-read", rf"^({_INSTANCE_ID}\.)?({_GO})$", dead)

    def _keep(self, policy: str, pattern: str, dead: str) -> str:
        definition = {
            "delivery-limit": DELIVERY_LIMIT,
            "dead-letter-exchange": "",
            "dead-letter-routing-key": dead,
            "dead-letter-strategy": "at-least-once",
            "overflow": "reject-publish",
        }
        text = json.dumps(definition, separators=(",", ":"))
        return self.ctl("set_policy", "--apply-to", "queues", policy, pattern, text)

    def permit(self, user: str, needs: Needs) -> str:
        """The least that the worker needs for its own queues, and what its mode adds (deploy/README.md).

        Any instance may come, and RabbitMQ does not tell the names of exchanges from those of queues: to bind their
        exchanges the worker must be allowed to read everything, and to declare them, to make everything.
        """
        names = rf"{re.escape(self._own_prefix)}\..*|{re.escape(needs.exchange)}"
        configure, read = f"^({names})$", f"^({names})$"
        if needs.evolution_prefix is not None:
            prefix = re.escape(f"{needs.evolution_prefix}.") if needs.evolution_prefix else ""
            more = "" if prefix else f"|{_GO}"
            more += rf"|{_INSTANCE_ID}\.({_GO})" if needs.instance_queues else ""
            read = f"^({names}|{prefix}({_EVENTS})([.-][a-z.-]+)?{more})$"
        if needs.instance_exchanges:
            configure, read = ".*" if needs.declares else configure, ".*"
        return self.ctl("set_permissions", user, configure, rf"^({names}|amq\.default)$", read)

    def delete_queues(self, names: Sequence[str]) -> str:
        """Without `--if-empty`: RabbitMQ does not know that of quorum queues."""
        if len(names) == 1:
            return self.ctl("delete_queue", names[0])
        more = f"; then again, for the other {len(names) - LOOPED}" if len(names) > LOOPED else ""
        quoted = shlex.join(names[:LOOPED])
        return f'for queue in {quoted}; do {self.ctl("delete_queue")} "$queue"; done{more}'
