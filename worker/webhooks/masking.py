"""What stands in the place of a secret wherever webhooks are shown."""

from urllib.parse import urlsplit

MASK = "***"


def masked_url(url: str) -> str:
    """The URL with `user:password@` replaced."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return MASK
    _, at, host = parts.netloc.rpartition("@")
    return parts._replace(netloc=f"{MASK}@{host}").geturl() if at else url
