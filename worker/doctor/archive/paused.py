"""Webhooks that are paused: since when, and whether the archive still has what they miss."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from worker.basics.moments import iso
from worker.doctor.asking.archive import ArchiveSeen
from worker.doctor.finding import Finding, many, some
from worker.domain.notices.remedies import of_webhook
from worker.domain.webhook import Webhook

NAME = "paused webhooks"
SOON = 0.75
"""Of the time that the archive holds, from which on the beginning of a pause is about to be gone."""


def paused(webhooks: Sequence[Webhook], earlier: Mapping[tuple[str, str], int]) -> list[Webhook]:
    """The longest first. `earlier`: as jobs.missed_since; a pause holds up what an earlier one's replay has to send, so
    that such a webhook counts as paused since then."""
    resting = [replace(one, paused_at=_missing_since(one, earlier)) for one in webhooks if one.paused_at is not None]
    return sorted(resting, key=_since)


def _missing_since(webhook: Webhook, earlier: Mapping[tuple[str, str], int]) -> int:
    own = webhook.paused_at or 0
    return min(own, earlier.get((webhook.instance, webhook.id), own))


def judged(found: Sequence[Webhook], archive: ArchiveSeen, hours: float, now: float, *, kept: bool) -> list[Finding]:
    """`found`: as `paused` gives them. `hours` that the archive holds; `kept`: ARCHIVE. Moments are Unix seconds."""
    if not found:
        return []
    lost = [one for one in found if not kept or _lost(one, archive)]
    soon = [one for one in found if one not in lost and now - _since(one) > hours * 3600 * SOON]
    rest = [one for one in found if one not in lost and one not in soon]
    told = []
    if lost:
        gone = "the archive has lost the beginning" if kept else "nothing is kept with ARCHIVE=false"
        what = f"{many(len(lost), 'pause')} of which {gone}, and loses more: {some(_named(lost))}"
        needs = "" if kept and archive.exists else "a worker with ARCHIVE=true, then "
        told.append(Finding("problem", NAME, what, needs + _resume(lost[0], "--accept-gap"), tuple(_named(lost))))
    if soon:
        what = f"{many(len(soon), 'pause')} of which the archive (about {hours:.1f} h) soon loses the beginning: "
        told.append(Finding("warning", NAME, what + some(_named(soon)), _resume(soon[0]), tuple(_named(soon))))
    if rest:
        what = f"{many(len(rest), 'webhook gets', 'webhooks get')} nothing until resumed: {some(_named(rest))}"
        told.append(Finding("advice", NAME, what, _resume(rest[0]), tuple(_named(rest))))
    return told


def _lost(webhook: Webhook, archive: ArchiveSeen) -> bool:
    begins = archive.born if archive.born is not None else archive.begins
    return not archive.exists or (begins is not None and begins > _since(webhook))


def _since(webhook: Webhook) -> float:
    return (webhook.paused_at or 0) / 1000


def _named(webhooks: Sequence[Webhook]) -> list[str]:
    return [f"{one.instance}/{one.id} since {iso(_since(one), 'seconds')}" for one in webhooks]


def _resume(webhook: Webhook, *options: str) -> str:
    return of_webhook("resume", webhook.instance, webhook.id, *options)
