"""Readers of the settings for the way out: proxy, authorities, certificates; and whose variables are not ours."""

from collections.abc import Callable, Mapping

from worker.basics.address import Address
from worker.http.proxy import proxy_address
from worker.http.trust import check_authorities
from worker.settings.environment import parsed_by, text
from worker.settings.secret_files import secret_in

OTHER_PROXIES = frozenset({"ALL_PROXY", "HTTP_PROXY", "HTTPS_PROXY"})
"""What other programs read, in upper or lower case."""


def proxy(value: object) -> Address | None:
    """Reader of EGRESS_PROXY; "" is none."""
    if value is None or isinstance(value, Address):
        return value
    return None if value == "" else parsed_by(proxy_address, value)


def authorities(value: object) -> str:
    """Reader of EGRESS_CA_FILE; "" is none."""
    path = text("the path of a file")(value)
    return path and check_authorities(path)


def pem(check: Callable[[str], str]) -> Callable[[object], str]:
    """Reader of a file in PEM form that `check` lets pass: its content, or "" for none."""

    def parse(value: object) -> str:
        path = text("the path of a file")(value)
        if not path:
            return ""
        content = secret_in(path)
        try:
            return check(content)
        except ValueError as error:
            raise ValueError(f"the path of a file in PEM form: it {error}") from None

    return parse


def other_proxies(environ: Mapping[str, str], chosen: Address | None) -> list[str]:
    """A warning where somebody may count on another program's variable and has `chosen` no proxy for the worker."""
    given = [name for name in sorted(environ) if name.upper() in OTHER_PROXIES and environ[name].strip()]
    if not given or chosen is not None:
        return []
    return [f"{', '.join(given)}: ignored, POSTs go out directly; the setting for a proxy is EGRESS_PROXY"]
