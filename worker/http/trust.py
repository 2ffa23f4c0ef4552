"""Which certificate authorities receivers' certificates may come from."""

import ssl


def trust(ca_file: str) -> ssl.SSLContext | None:
    """The system's authorities and those of a PEM file (EGRESS_CA_FILE); None without one: aiohttp's own context.

    Raises OSError (ssl.SSLError is one).
    """
    if not ca_file:
        return None
    context = ssl.create_default_context()
    context.set_alpn_protocols(("http/1.1",))
    context.load_verify_locations(cafile=ca_file)
    return context


def check_authorities(ca_file: str) -> str:
    """The path itself. Raises ValueError, worded to follow "must be"."""
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cafile=ca_file)
    except ssl.SSLError:
        raise ValueError("the path of a file with certificates in PEM form (BEGIN CERTIFICATE)") from None
    except (OSError, ValueError) as error:
        raise ValueError(f"the path of a file that can be read: {getattr(error, 'strerror', None) or error}") from None
    return ca_file
