"""Which promises of a webhook sender hold: events are played at it, and receivers of all kinds.

    python -m tests.proof.conformance                                   # this worker
    python -m tests.proof.conformance --target "python -m tests.proof.conformance.bare_loop"
    python -m tests.proof.conformance --target amqp://user:password@host/ --exchange evolution --tell "./set-webhooks"

docs/conformance.md says what a command is told, and what each promise means. Exit codes: 0 none is broken; 1 one is;
2 wrong usage; 130 interrupted.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import shlex
import signal
import sys
import tomllib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from tests.proof.conformance.promises import PROMISES, Promise
from tests.proof.conformance.stage import PATIENCE_SECONDS
from tests.proof.conformance.trial import Target, Verdict, tried
from tests.support.local_broker import BrokerError, LocalBroker

OURS = shlex.join((sys.executable, "-m", "worker", "run"))
WIDTH = 11


def main(arguments: Sequence[str] | None = None) -> int:
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    logging.basicConfig(handlers=[logging.NullHandler()])  # what libraries log is not the sender's
    parser = _parser()
    given = parser.parse_args(arguments)
    chosen = [promise for promise in PROMISES if given.only in promise.name]
    if not chosen:
        parser.error(f"--only {given.only!r} is in no promise's name: {', '.join(each.name for each in PROMISES)}")
    try:
        with _target(parser, given) as target:
            return asyncio.run(_try_all(chosen, target))
    except (BrokerError, OSError) as error:
        parser.error(f"no broker: {error}")
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.proof.conformance", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument(
        "--target", default=OURS, help="a command to start, or the amqp URI of a running sender's broker"
    )
    parser.add_argument("--broker", help="amqp URI for a command (default: a private RabbitMQ, gone afterwards)")
    parser.add_argument("--exchange", default="evolution", help="of a running sender: where it takes events from")
    parser.add_argument("--tell", help="of a running sender: a command that is given the file of webhooks")
    parser.add_argument("--order", help='TOML of a webhook that asks for order; without it: "not offered"')
    parser.add_argument("--id-header", default="webhook-id", help="where the sender has an event's id")
    parser.add_argument("--patience", type=float, default=PATIENCE_SECONDS, help="seconds for what a retry brings")
    parser.add_argument("--only", default="", help="the promises whose name contains this")
    return parser


@contextmanager
def _target(parser: argparse.ArgumentParser, given: argparse.Namespace) -> Iterator[Target]:
    order = _order(parser, given.order)
    common = {"order": order, "id_header": given.id_header, "patience": given.patience}
    if given.target.startswith(("amqp://", "amqps://")):
        if not given.tell:
            parser.error("--tell is needed: a running sender must be told its webhooks")
        yield Target(given.target, tell=given.tell, exchange=given.exchange, **common)
    elif given.broker:
        yield Target(given.broker, given.target, **common)
    else:
        with LocalBroker() as broker:
            yield Target(broker.uri, given.target, **common)


def _order(parser: argparse.ArgumentParser, given: str | None) -> dict[str, object] | None:
    try:
        return None if given is None else tomllib.loads(given)
    except tomllib.TOMLDecodeError as error:
        parser.error(f"--order {given!r} is no TOML: {error}")


async def _try_all(promises: Sequence[Promise], target: Target) -> int:
    width = max(len(promise.name) for promise in promises)
    found = []
    for promise in promises:
        verdict, seen = await tried(promise, target)
        found.append(verdict)
        print(f"{promise.name:{width}}  {verdict.value:{WIDTH}}  {seen}", flush=True)
    counts = ", ".join(f"{found.count(verdict)} {verdict.value}" for verdict in Verdict if verdict in found)
    print(f"{len(found)} promises: {counts}")
    return 1 if Verdict.BROKEN in found else 0


if __name__ == "__main__":
    sys.exit(main())
