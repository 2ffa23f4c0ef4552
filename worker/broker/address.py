"""RABBITMQ_URI: the broker's address, and the options of its query that the connection heeds."""

import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from worker.basics.address import Address

SCHEMES = ("amqp", "amqps")
PEER_CERTIFICATE = "fail_if_no_peer_cert"
"""Stands in RabbitMQ's own examples beside verify=verify_peer."""


def broker_address(uri: str | Address) -> Address:
    """The options under aiormq's names. Raises ValueError, worded to follow "must be", without any credentials.

    `cacertfile`, `verify` and `fail_if_no_peer_cert` are RabbitMQ's names: https://www.rabbitmq.com/docs/uri-query-parameters
    """
    if isinstance(uri, Address):
        return uri
    address = Address.parse(uri, SCHEMES)
    if "/" in address.path[1:]:
        raise ValueError("a URI with one virtual host after the host: write / in its name as %2F")
    _ = address.decoded_path  # refuses a damaged one
    options: dict[str, str] = {}
    for name, value in address.options.items():
        if name == PEER_CERTIFICATE:
            _peer_certificate(value)
            continue
        if name not in _OPTIONS:
            raise ValueError(
                f"a URI without the unknown option {name!r}: allowed are {', '.join((*_OPTIONS, PEER_CERTIFICATE))}"
            )
        options |= _option(name, value, options)
    of_tls = next((name for name in address.options if name != "heartbeat"), None)
    if of_tls and address.scheme != "amqps":
        raise ValueError(f"an amqps:// URI for its option {of_tls!r}")
    if ("certfile" in options) != ("keyfile" in options):
        raise ValueError("a URI with both of the options 'certfile' and 'keyfile', or neither")
    return replace(address, options=options)


def _peer_certificate(value: str) -> None:
    """A client of TLS cannot do without the server's certificate, so that there is nothing to pass on."""
    if value != "true":
        raise ValueError(f"a URI whose option {PEER_CERTIFICATE!r} is true: a server always needs a certificate")


def _option(name: str, value: str, before: Mapping[str, str]) -> dict[str, str]:
    read, spelling = _OPTIONS[name]
    if spelling in before:
        raise ValueError(f"a URI with the option {spelling!r} only once, under whichever name")
    return {spelling: read(name, value)}


def _heartbeat(name: str, value: str) -> str:
    if value.isascii() and value.isdigit() and int(value[:6]) <= 65_535 and len(value) < 6:
        return value
    raise ValueError(f"a URI whose option {name!r} is whole seconds from 0 to 65535")


def _file(name: str, value: str) -> str:
    return _readable(name, value, Path(value).is_file(), "a file")


def _folder(name: str, value: str) -> str:
    return _readable(name, value, Path(value).is_dir(), "a folder")


def _readable(name: str, value: str, there: bool, kind: str) -> str:
    if not (there and os.access(value, os.R_OK)):
        raise ValueError(f"a URI whose option {name!r} names {kind} that can be read")
    return value


def _verify(name: str, value: str) -> str:
    if value not in ("verify_peer", "verify_none"):
        raise ValueError(f"a URI whose option {name!r} is verify_peer or verify_none")
    return "0" if value == "verify_peer" else "1"


def _unverified(name: str, value: str) -> str:
    if value not in ("0", "1"):
        raise ValueError(f"a URI whose option {name!r} is 0 or 1")
    return value


_OPTIONS: Mapping[str, tuple[Callable[[str, str], str], str]] = {
    "heartbeat": (_heartbeat, "heartbeat"),
    "cafile": (_file, "cafile"),
    "cacertfile": (_file, "cafile"),
    "capath": (_folder, "capath"),
    "certfile": (_file, "certfile"),
    "keyfile": (_file, "keyfile"),
    "verify": (_verify, "no_verify_ssl"),
    "no_verify_ssl": (_unverified, "no_verify_ssl"),
}
