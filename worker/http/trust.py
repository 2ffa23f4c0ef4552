"""TLS contexts: whose certificates receivers may have, and which one is shown to them."""

import os
import ssl
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from worker.domain.webhook import Tls


def trust(ca_file: str) -> ssl.SSLContext | None:
    """The system's authorities and those of a PEM file (EGRESS_CA_FILE); None without one: aiohttp's own context.

    Raises OSError (ssl.SSLError is one).
    """
    return _trusting_system(ca_file) if ca_file else None


def check_authorities(ca_file: str) -> str:
    """The path itself. Raises ValueError, worded to follow "must be"."""
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cafile=ca_file)
    except ssl.SSLError:
        raise ValueError("the path of a file with certificates in PEM form (BEGIN CERTIFICATE)") from None
    except (OSError, ValueError) as error:
        raise ValueError(f"the path of a file that can be read: {getattr(error, 'strerror', None) or error}") from None
    return ca_file


def context_for(tls: Tls, ca_file: str) -> ssl.SSLContext:
    """A webhook's own; `ca_file` counts, with the system's authorities, where it names none itself.

    Takes about 20 ms where the system's are loaded: call it in a thread. Raises OSError (ssl.SSLError is one) and
    ValueError for what is no PEM.
    """
    if tls.ca is None:
        context = _trusting_system(ca_file)
    else:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.set_alpn_protocols(("http/1.1",))
        context.load_verify_locations(cadata=tls.ca)
    if tls.client_certificate is not None:
        with _as_file(tls.client_certificate) as path:
            context.load_cert_chain(path, password=_no_password)
    return context


def _trusting_system(ca_file: str) -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.set_alpn_protocols(("http/1.1",))
    if ca_file:
        context.load_verify_locations(cafile=ca_file)
    return context


def _no_password() -> str:
    """Asked for an encrypted key, which is refused where it is set: without this OpenSSL would ask the terminal."""
    raise ValueError("the private key of the client certificate is encrypted")


@contextmanager
def _as_file(content: str) -> Iterator[Path]:
    """For OpenSSL, which Python lets read a key from files alone: in memory where the system can, so that the key comes
    to no disk and a read-only file system is enough."""
    if not hasattr(os, "memfd_create"):
        with tempfile.NamedTemporaryFile("w", encoding="ascii") as file:  # only its owner may read it
            file.write(content)
            file.flush()
            yield Path(file.name)
        return
    descriptor = os.memfd_create("client-certificate", os.MFD_CLOEXEC)
    try:
        with open(descriptor, "w", encoding="ascii", closefd=False) as file:
            file.write(content)
        yield Path(f"/proc/self/fd/{descriptor}")
    finally:
        os.close(descriptor)
