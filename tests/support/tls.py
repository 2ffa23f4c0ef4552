"""TLS for receivers: an authority of the tests' own, with good, wrong-named and expired certificates."""

from __future__ import annotations

import shutil
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import trustme


class Authority:
    """Contexts for a Receiver; a worker trusts them by SSL_CERT_FILE=`write_certificate(path)`."""

    def __init__(self) -> None:
        self._authority = trustme.CA()

    def server(self, name: str = "127.0.0.1") -> ssl.SSLContext:
        return self._context(self._authority.issue_cert(name))

    def wrong_name(self) -> ssl.SSLContext:
        return self._context(self._authority.issue_cert("somebody-else.example"))

    def expired(self, name: str = "127.0.0.1") -> ssl.SSLContext:
        now = datetime.now(UTC)
        old = self._authority.issue_cert(name, not_before=now - timedelta(days=30), not_after=now - timedelta(days=1))
        return self._context(old)

    def asking(self, clients: Authority | None = None, name: str = "127.0.0.1") -> ssl.SSLContext:
        """A receiver's that lets nobody in but who has a certificate of `clients` (left out: of this authority)."""
        context = self.server(name)
        context.verify_mode = ssl.CERT_REQUIRED
        (clients or self)._authority.configure_trust(context)
        return context

    def client_certificate(self, name: str = "acme", *, days: float = 300) -> str:
        """PEM: the key, then the certificate of `name`, which ends after so many days (below 0: it has ended)."""
        now = datetime.now(UTC)
        begin, end = now - timedelta(days=400), now + timedelta(days=days)
        issued = self._authority.issue_cert(f"{name}.client", common_name=name, not_before=begin, not_after=end)
        return issued.private_key_and_cert_chain_pem.bytes().decode()

    @property
    def pem(self) -> str:
        """The authority's own certificate."""
        return self._authority.cert_pem.bytes().decode()

    def client(self) -> ssl.SSLContext:
        """Trusts this authority and nothing else."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self._authority.configure_trust(context)
        return context

    def write_server(self, folder: Path, name: str = "127.0.0.1", owner: str | None = None) -> tuple[Path, Path]:
        """The files of a server's certificate and key, which their `owner` alone may read."""
        issued = self._authority.issue_cert(name)
        certificate, key = folder / f"{name}.pem", folder / f"{name}.key"
        issued.cert_chain_pems[0].write_to_path(certificate)
        issued.private_key_pem.write_to_path(key)
        _belongs_to(owner, certificate, key)
        return certificate, key

    def write_client(self, folder: Path, name: str = "acme") -> tuple[Path, Path]:
        """The files of a client's certificate and key."""
        issued = self._authority.issue_cert("client", common_name=name)
        certificate, key = folder / f"{name}-client.pem", folder / f"{name}-client.key"
        issued.cert_chain_pems[0].write_to_path(certificate)
        issued.private_key_pem.write_to_path(key)
        _belongs_to(None, certificate, key)
        return certificate, key

    def write_certificate(self, path: Path) -> Path:
        path.write_bytes(self._authority.cert_pem.bytes())
        return path

    def _context(self, certificate: trustme.LeafCert) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        certificate.configure_cert(context)
        return context


def _belongs_to(owner: str | None, *files: Path) -> None:
    for file in files:
        file.chmod(0o600)
        if owner is not None:
            shutil.chown(file, owner, owner)
