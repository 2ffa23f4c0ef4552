"""RabbitMQ's limits: how many connections the worker needs, and what a refusal says of them."""

import re

CONNECTIONS = 4
"""Of one `run`: consuming, publishing, recording history, writing it. `api` has one, as has each command."""

CONNECTIONS_WITH_ORDER = CONNECTIONS + 1
"""One more, to consume in order."""

_LIMIT = re.compile(r"\blimit\b.*\breached\b|\breached\b.*\blimit\b", re.DOTALL)


def limit_reached(text: str) -> bool:
    """Whether RabbitMQ refuses for a limit: of queues, exchanges, connections, channels; of a virtual host, a user, a
    node or the cluster."""
    return _LIMIT.search(text) is not None


def opening_refused(text: str) -> str:
    """Why RabbitMQ closes a connection that is about to open, with the remedy; `text` is what it says."""
    if limit_reached(text):
        return (
            f"it is at a limit: {text}. Each replica needs {CONNECTIONS} connections "
            f"({CONNECTIONS_WITH_ORDER} with ORDER), the API and each command one: "
            "raise it (rabbitmqctl set_vhost_limits or set_user_limits, the hosted plan), or close others"
        )
    return "its virtual host does not exist, or is not open to this user"
