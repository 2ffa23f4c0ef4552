"""The ledger: what was published, every POST, every dead letter, the history; what is wrong between them. Pure."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from math import inf
from typing import Any

from tests.proof.chaos.history import Attempt, History, Span, may_be_forgotten
from tests.proof.chaos.inversions import Arrival, Said, inversions
from tests.proof.chaos.subscriptions import FINAL, GLOBAL, Subscription, chat_of, data_of
from tests.support.events import event
from worker.domain.webhook import DEFAULT_ID, UNORDERED

ALLOWED_REASONS = frozenset({*FINAL, "disabled", "attempts_exhausted"})
"""Why a letter of this cast may be dead: a receiver refused it, or could not be had for too long."""

MOST_SHOWN = 5
"""Violations of one kind that are told in full."""


@dataclass(frozen=True, slots=True)
class Issued:
    """One numbered event, as it was published: at `at` in monotonic seconds, by the producer's `connection`."""

    number: int
    instance: str
    kind: str
    body: bytes
    at: float = 0.0
    connection: int = 0


@dataclass(slots=True)
class Post:
    """One POST as it arrived, `at` in monotonic seconds. `status` is what it was `answered`, in the same seconds; None:
    it never was (the connection ended first)."""

    path: str
    id: str | None
    attempt: str | None
    body: bytes
    status: int | None = None
    at: float = 0.0
    answered: float | None = None

    @property
    def number(self) -> int | None:
        return number_in(self.body)


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One message of the dead-letter queue. `webhook` None: the letter stands for the whole event. `since`: when the
    delivery was given up, in monotonic seconds (-inf: nobody can say)."""

    number: int | None
    webhook: str | None
    reason: str | None
    since: float = -inf


@dataclass(frozen=True, slots=True)
class Figures:
    """Of one run. `events` were confirmed; `deliveries` is what they fan out to (an event without any: one skip).

    `repeats` are 2xx answers beyond the first one of a delivery. The last six are violations.
    """

    events: int = 0
    unconfirmed: int = 0
    deliveries: int = 0
    delivered: int = 0
    dead: int = 0
    skipped: int = 0
    posts: int = 0
    repeats: int = 0
    lost: int = 0
    inversions: int = 0
    unknown: int = 0
    wrong_url: int = 0
    history: int = 0
    other: int = 0


def number_in(body: bytes) -> int | None:
    """The event's number; None when the body is none of ours."""
    try:
        number = json.loads(body)["data"]["number"]
    except (ValueError, LookupError, TypeError):
        return None
    return number if isinstance(number, int) else None


class Ledger:
    """`base` is the receiver's URL without a path."""

    def __init__(self, cast: Sequence[Subscription], base: str, most_attempts: int) -> None:
        self.posts: list[Post] = []
        self.letters: list[DeadLetter] = []
        self.issued: dict[int, Issued] = {}
        self.confirmed: dict[int, float] = {}
        self.reasons = ALLOWED_REASONS
        self.history: History | None = None
        self.kills: list[float] = []
        self.away: list[Span] = []
        self._cast = cast
        self._base = base
        self._most_attempts = most_attempts

    def issue(self, instance: str, kind: str, at: float = 0.0, connection: int = 0) -> Issued:
        number = len(self.issued) + 1
        issued = Issued(number, instance, kind, event(kind, instance, data_of(number, kind)), at, connection)
        self.issued[number] = issued
        return issued

    def confirm(self, issued: Issued, at: float = 0.0) -> None:
        self.confirmed[issued.number] = at

    def fan_out(self, issued: Issued) -> list[Subscription]:
        """Whom the configuration sends it to; everybody else is skipped."""
        return [one for one in (*self._cast, GLOBAL) if self._hears(one, issued) and one.wants(issued.kind)]

    def problems(self) -> list[str]:
        """Every violation, in words; of many alike the first few."""
        by_kind: dict[str, list[str]] = defaultdict(list)
        for kind, what in self._violations():
            by_kind[kind].append(what)
        return [line for kind, lines in by_kind.items() for line in _told(kind, lines)]

    def figures(self) -> Figures:
        """Delivered first: what is delivered and dead, too (a crash between the two), counts as delivered."""
        ended = [self._end(issued, one) for issued in self._confirmed() for one in self.fan_out(issued)]
        skipped = sum(self._skips(issued) for issued in self._confirmed())
        successes = Counter((post.path, post.number) for post in self.posts if _delivered(post))
        violations = Counter(kind for kind, _ in self._violations())
        return Figures(
            events=len(self.confirmed),
            unconfirmed=len(self.issued) - len(self.confirmed),
            deliveries=len(ended) + skipped,
            delivered=ended.count("delivered"),
            dead=ended.count("dead"),
            skipped=skipped,
            posts=len(self.posts),
            repeats=successes.total() - len(successes),
            lost=violations.pop("lost", 0),
            inversions=violations.pop("inversion", 0),
            unknown=violations.pop("unknown event", 0),
            wrong_url=violations.pop("wrong URL", 0),
            history=violations.pop("no history", 0),
            other=violations.total(),
        )

    def _hears(self, one: Subscription, issued: Issued) -> bool:
        return one.instance in ("", issued.instance)

    def _skips(self, issued: Issued) -> int:
        heard = [one for one in (*self._cast, GLOBAL) if self._hears(one, issued)]
        return len(heard) - len(self.fan_out(issued))

    def _confirmed(self) -> Iterator[Issued]:
        return (self.issued[number] for number in sorted(self.confirmed))

    def _end(self, issued: Issued, one: Subscription) -> str:
        path = one.post_path(issued.kind)
        if any(_delivered(post) for post in self._posts_by_target().get((path, issued.number), ())):
            return "delivered"
        letters = self._webhooks_dead()[issued.number]
        return "dead" if one.id in letters or None in letters else "lost"

    def _posts_by_target(self) -> dict[tuple[str, int | None], list[Post]]:
        if self._targets_of != len(self.posts):
            self._targets = defaultdict(list)
            for post in self.posts:
                self._targets[post.path, post.number].append(post)
            self._targets_of = len(self.posts)
        return self._targets

    _targets: dict[tuple[str, int | None], list[Post]]
    _targets_of = -1

    def _webhooks_dead(self) -> dict[int | None, set[str | None]]:
        dead: dict[int | None, set[str | None]] = defaultdict(set)
        for letter in self.letters:
            dead[letter.number].add(letter.webhook)
        return dead

    # What can be wrong, as (kind, what).

    def _violations(self) -> Iterator[tuple[str, str]]:
        yield from self._losses()
        yield from self._inversions()
        yield from self._wrong_posts()
        yield from self._wrong_repeats()
        yield from self._wrong_letters()
        yield from self._forgotten()

    def _losses(self) -> Iterator[tuple[str, str]]:
        for issued in self._confirmed():
            for one in self.fan_out(issued):
                if self._end(issued, one) == "lost":
                    yield "lost", f"event {issued.number} ({issued.kind} of {issued.instance}) for {one.path}"

    def _inversions(self) -> Iterator[tuple[str, str]]:
        """For each order key: an event came before what was published before it had ended."""
        for one in (*self._cast, GLOBAL):
            keys: dict[str, list[Said]] = defaultdict(list)
            for issued in self.issued.values() if one.order != UNORDERED else ():
                if one in self.fan_out(issued):
                    chat = chat_of(issued.number, issued.kind) if one.order == "chat" else "all"
                    keys[f"{issued.instance}, {chat or 'no chat'}"].append(self._said(issued, one))
            for key, said in keys.items():
                yield from (("inversion", f"{one.path}, {key}: {found}") for found in inversions(said))

    def _said(self, issued: Issued, one: Subscription) -> Said:
        posts = self._posts_by_target().get((one.post_path(issued.kind), issued.number), ())
        dead = [
            letter.since
            for letter in self.letters
            if letter.number == issued.number and letter.webhook in (None, one.id)
        ]
        return Said(
            issued.number,
            issued.at,
            self.confirmed.get(issued.number),
            issued.connection,
            [Arrival(post.at, post.answered, post.status) for post in posts],
            min(dead, default=None),
        )

    def _wrong_posts(self) -> Iterator[tuple[str, str]]:
        for post in self.posts:
            issued = self.issued.get(post.number or 0)
            if issued is None:
                yield "unknown event", f"{post.path} got {post.body[:200]!r}"
                continue
            found = next((one for one in self.fan_out(issued) if one.post_path(issued.kind) == post.path), None)
            if found is None:
                yield "wrong URL", f"{post.path} got event {issued.number} ({issued.kind} of {issued.instance})"
            elif json.loads(post.body) != self._body(issued, found):
                yield "wrong body", f"{post.path} got {post.body[:200]!r}"
            elif not 1 <= int(post.attempt or 0) <= (self._most_attempts if found.order == UNORDERED else inf):
                yield "wrong attempt", f"{post.path} got event {issued.number} as attempt {post.attempt}"

    def _wrong_repeats(self) -> Iterator[tuple[str, str]]:
        owners: dict[str | None, tuple[str, int | None]] = {}
        for target, posts in self._posts_by_target().items():
            ids = {post.id for post in posts}
            if len(ids) > 1 or None in ids:
                yield "webhook-id changed", f"event {target[1]} at {target[0]}: {sorted(map(str, ids))}"
            if len({sha256(post.body).digest() for post in posts}) > 1:
                yield "body changed", f"event {target[1]} at {target[0]}"
            for one in ids:
                if owners.setdefault(one, target) != target:
                    yield "webhook-id shared", f"{one}: {owners[one]} and {target}"

    def _wrong_letters(self) -> Iterator[tuple[str, str]]:
        for letter in self.letters:
            issued = self.issued.get(letter.number or 0)
            if issued is None:
                yield "unknown event", f"dead letter {letter}"
                continue
            owners = [one for one in self.fan_out(issued) if letter.webhook in (None, one.id)]
            if not owners:
                yield "letter of nobody", f"{letter}"
            elif letter.reason not in self.reasons:
                yield "reason", f"{letter}, {issued.kind} of {issued.instance}"
            elif letter.reason in FINAL and not self._was_answered(issued, owners[0], FINAL[letter.reason]):
                yield "reason without its answer", f"{letter}, {issued.kind} of {issued.instance}"

    def _forgotten(self) -> Iterator[tuple[str, str]]:
        """Attempts without a row in the history, if they are more than the rows that are known to be lost. What a
        process had not told when it was killed (`kills`), as RabbitMQ had taken nothing meanwhile (`away`), is known to
        nobody."""
        if self.history is None:
            return
        posts: dict[Attempt, list[Post]] = defaultdict(list)
        for post in self.posts:
            posts[post.id, post.attempt].append(post)
        missing = [
            post for key, of_it in posts.items() for post in self._without_row(of_it, self.history.attempts[key])
        ]
        if len(missing) > self.history.lost:
            for post in missing:
                yield "no history", f"{post.id}, attempt {post.attempt} at {post.path}, answered {post.status}"

    def _without_row(self, posts: list[Post], rows: int) -> list[Post]:
        """Of the POSTs of one attempt, made once or again after a crash.

        One that the receiver cut without an answer on a kept connection is sent again within the attempt, since nobody
        can tell it from one that was closed before (RFC 9112, 9.3.1): one row for both.
        """
        posts = [post for post in posts if post.answered is not None or not any(one.at > post.at for one in posts)]
        told = [post for post in posts if not may_be_forgotten(Span(post.at, post.answered), self.kills, self.away)]
        return told[: max(0, len(posts) - rows - (len(posts) - len(told)))]

    def _was_answered(self, issued: Issued, one: Subscription, status: int) -> bool:
        posts = self._posts_by_target().get((one.post_path(issued.kind), issued.number), ())
        return any(post.status == status for post in posts)

    def _body(self, issued: Issued, one: Subscription) -> Any:
        return {**json.loads(issued.body), "destination": self._destination(issued, one)}

    def _destination(self, issued: Issued, one: Subscription) -> str:
        if one is not GLOBAL:
            return self._base + one.path
        own = (other for other in self._cast if other.instance == issued.instance and other.id == DEFAULT_ID)
        return self._base + next((other.path for other in own), GLOBAL.post_path(issued.kind))


def _delivered(post: Post) -> bool:
    return post.status is not None and 200 <= post.status < 300


def _told(kind: str, lines: list[str]) -> list[str]:
    told = [f"{kind}: {line}" for line in lines[:MOST_SHOWN]]
    more = len(lines) - MOST_SHOWN
    return [*told, f"{kind}: {more} more"] if more > 0 else told
