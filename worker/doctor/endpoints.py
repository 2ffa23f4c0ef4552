"""Receivers that cannot be connected to, and the DNS on the way there."""

import shlex
from collections.abc import Mapping, Sequence
from datetime import datetime

from worker.doctor.asking.reach import Failure, Place, Probe, Reach, place_of_webhook
from worker.doctor.finding import Finding, Level, many, some
from worker.domain.notices.receivers import PREFIX, NoticeReceiver
from worker.domain.notices.remedies import of_webhook
from worker.domain.request.build import problem_with
from worker.domain.webhook import Webhook
from worker.http.proxy import EgressProxy
from worker.webhooks.certificates import end_of

NAME, PROXY, CERTIFICATES = "endpoints", "egress proxy", "client certificates"

SOON_DAYS = 14
TOLD = 20
"""Places with a finding of their own."""

SLOW_SECONDS = 1.0

Webhooks = Mapping[Place, Sequence[Webhook]]


def by_place(webhooks: Sequence[Webhook]) -> dict[Place, list[Webhook]]:
    """Groups the enabled webhooks by host, port and TLS; those whose URL leads nowhere are left to `unsendable`."""
    found: dict[Place, list[Webhook]] = {}
    for webhook in webhooks:
        place = place_of_webhook(webhook)
        if webhook.enabled and place is not None:
            found.setdefault(place, []).append(webhook)
    return found


def unsendable(webhooks: Sequence[Webhook], elsewhere: str = "") -> Finding | None:
    """Webhooks whose URL, headers or secrets no request can be made of, so that each event becomes a dead letter.

    `elsewhere`: where webhooks are changed when not by `webhook set` (SourceKind.elsewhere), as for all below.
    """
    problems = problems_of(webhooks)
    if not problems:
        return None
    what = f"{many(len(problems), 'webhook')} that cannot be sent to, whose events become dead letters: "
    found = [f"{name} ({problem})" for name, problem in problems]
    fix = elsewhere or "webhook-worker webhook set INSTANCE --id ID --url URL --header 'Name: value' (all headers anew)"
    return Finding("problem", NAME, what + some(found), fix, tuple(name for name, _ in problems))


def problems_of(webhooks: Sequence[Webhook]) -> list[tuple[str, str]]:
    """Each enabled one that cannot be sent to: who it is, and why."""
    found = ((who(webhook), problem_with(webhook)) for webhook in webhooks if webhook.enabled)
    return [(name, problem) for name, problem in found if problem is not None]


def certificates(webhooks: Sequence[Webhook], now: float, elsewhere: str = "") -> list[Finding]:
    """Client certificates that have ended, or end within SOON_DAYS; `now` in Unix seconds."""
    ends = [(who(one), _end(one.client_certificate)) for one in webhooks if one.enabled and one.client_certificate]
    ended = [f"{name} ({end:%Y-%m-%d})" for name, end in ends if end is not None and end.timestamp() <= now]
    soon = [
        f"{name} ({end:%Y-%m-%d})"
        for name, end in ends
        if end is not None and now < end.timestamp() <= now + SOON_DAYS * 86_400
    ]
    fix = elsewhere or "webhook-worker webhook set INSTANCE --id ID --client-certificate-file FILE"
    found: list[Finding] = []
    if ended:
        found.append(Finding("problem", CERTIFICATES, f"have expired: {some(ended)}", fix, tuple(ended)))
    if soon:
        what = f"expire within {SOON_DAYS} days: {some(soon)}"
        found.append(Finding("warning", CERTIFICATES, what, fix, tuple(soon)))
    if ends and not found:
        found.append(Finding("ok", CERTIFICATES, f"{many(len(ends), 'webhook')} for more than {SOON_DAYS} days yet"))
    return found


def _end(certificate: str) -> datetime | None:
    """None: it cannot be read, which the receiver's own finding says."""
    try:
        return end_of(certificate)
    except ValueError:
        return None


def endpoints(reach: Reach, webhooks: Webhooks, elsewhere: str = "") -> list[Finding]:
    """One finding a place that cannot be connected to, the rest of many in one."""
    not_reached = [place for place, probe in sorted(reach.probes.items()) if probe.failure]
    failed = [place for place in not_reached if reach.probes[place].failure != "proxy"]
    found = [_one(place, reach.probes[place], webhooks[place], elsewhere) for place in failed[:TOLD]]
    if len(failed) > TOLD:
        rest = tuple(map(str, failed[TOLD:]))
        what = f"{len(rest)} more cannot be connected to: {some(rest)}"
        found.append(Finding("warning", NAME, what, "webhook-worker doctor --json names all", rest))
    if reach.unseen:
        what = f"{many(reach.unseen, 'receiver')} not tried: too many, or too slow"
        found.append(Finding("advice", NAME, what, "mend the slow ones above, then again"))
    reached = len(reach.probes) - len(not_reached)
    if reached:
        found.append(Finding("ok", NAME, f"{many(reached, 'receiver')} (host and port) can be connected to"))
    elif not (found or not_reached):
        found.append(Finding("ok", NAME, "no enabled webhook"))
    return found


def outage(reach: Reach) -> Finding | None:
    """Several hosts, and none can be reached: the fault is here."""
    tried = [probe for probe in reach.probes.values() if probe.failure != "egress"]
    if len(tried) < 3 or not all(probe.failure in ("connect", "timeout", "dns") for probe in tried):
        return None
    what = f"none of {len(tried)} receivers can be connected to: the fault is probably on this side"
    fix = "this host's network: DNS, default route, firewall; in Kubernetes the network policy's egress"
    return Finding("problem", "network", what, fix)


def proxy(reach: Reach, proxy: EgressProxy | None) -> Finding | None:
    """One finding for all receivers that the proxy kept from being reached."""
    if proxy is None:
        return None
    failed = {place: probe.error for place, probe in sorted(reach.probes.items()) if probe.failure == "proxy"}
    if not failed:
        return Finding("ok", PROXY, f"receivers are reached through {proxy.address.server}")
    errors, places = sorted(set(failed.values())), tuple(map(str, failed))
    what = f"{some(errors)}: {many(len(failed), 'receiver')} not reached: {some(places)}"
    return Finding("problem", PROXY, what, "the proxy itself, and EGRESS_PROXY, NO_PROXY", places)


def dns(reach: Reach) -> Finding | None:
    """None: no name had to be resolved, or only one, which does not."""
    times = [probe.lookup for probe in reach.probes.values() if probe.lookup is not None]
    failed = [str(place) for place, probe in sorted(reach.probes.items()) if probe.failure == "dns"]
    if not times and len(failed) < 2:
        return None  # a single name may well be a wrong one: its endpoint's finding says so
    if not times:
        what = f"none of {many(len(failed), 'name')} resolves: {some(failed)}"
        return Finding("problem", "DNS", what, "/etc/resolv.conf, and whether its servers answer: getent hosts NAME")
    slowest = max(times)
    seen = f"{many(len(times), 'name')} resolved, the slowest in {slowest:.2f} s; {len(failed)} not"
    if slowest <= SLOW_SECONDS:
        return Finding("ok", "DNS", seen)
    fix = (
        "/etc/resolv.conf: a server that does not answer, or search domains (in Kubernetes ndots) that multiply lookups"
    )
    return Finding("warning", "DNS", seen, fix)


def _one(place: Place, probe: Probe, webhooks: Sequence[Webhook], elsewhere: str) -> Finding:
    names = tuple(who(webhook) for webhook in webhooks)
    assert probe.failure is not None
    level, meaning, fix = _remedy(probe.failure, place, _set_url(webhooks[0], elsewhere))
    what = f"{place} {meaning}: {probe.error} ({some(names)})"
    return Finding(level, NAME, what, fix, names)


def _remedy(failure: Failure, place: Place, set_url: str) -> tuple[Level, str, str]:
    target = shlex.quote(str(place))
    match failure:
        case "egress":
            fix = "name its network in EGRESS_ALLOW, restart, webhook-worker dead redrive --reason egress_refused"
            return "problem", "is refused by the egress rules", fix
        case "dns":
            return "warning", "does not resolve", f"correct the URL: {set_url}"
        case "tls":
            fix = f"its certificate: openssl s_client -connect {target} -servername {shlex.quote(place.host)}"
            return "warning", "makes no TLS connection", fix
        case "connect" | "timeout" | "proxy":
            fix = f"start it, or open the way from here to {target}; or {set_url}"
            return "warning", "cannot be connected to", fix


def _set_url(webhook: Webhook, elsewhere: str) -> str:
    if not webhook.instance:
        return who(webhook)
    if elsewhere:
        return f"{elsewhere.replace('{instance}', webhook.instance)} ({who(webhook)})"
    identity, option = webhook.id, "--url"
    if isinstance(webhook, NoticeReceiver):
        identity, option = identity.removeprefix(PREFIX), "--alert-url"
    return of_webhook("set", webhook.instance, identity, f"{option}=URL")


def who(webhook: Webhook) -> str:
    """As people name it: by its instance and id, or by the setting or field that it comes from."""
    if isinstance(webhook, NoticeReceiver):
        name = webhook.id.removeprefix(PREFIX)
        return f"alert_url of {webhook.instance}/{name}" if webhook.instance else "OPS_WEBHOOK_URL"
    return f"{webhook.instance}/{webhook.id}" if webhook.instance else "WEBHOOK_GLOBAL_URL"
