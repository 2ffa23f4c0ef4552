"""WEBHOOK_GLOBAL_<FIELD>: what the global webhook chooses, from the environment and from the file."""

from pathlib import Path

import pytest

from tests.support.tls import Authority
from worker.domain.webhook import Webhook
from worker.process.wiring import global_webhook
from worker.settings.settings import SettingsError, load
from worker.webhooks.declaration import CHOICES

ON = {"WEBHOOK_GLOBAL_ENABLED": "true", "WEBHOOK_GLOBAL_URL": "https://h", "WEBHOOK_EVENTS_MESSAGES_UPSERT": "true"}
GIVEN = {
    "ignore": "groups, from_me",
    "only_chats": "5511999999999,1@g.us",
    "except_chats": "5511:2@c.us",
    "message_types": "imageMessage",
    "filter": '{"data.n": null}',
    "media": "strip",
    "thumbnails": "strip",
    "max_body_bytes": "2048",
    "ttl_seconds": "qrcode.updated=60,CALL=0.5",
    "latest_only": "presence.update",
}
MEANT = {
    "ignore": frozenset({"groups", "from_me"}),
    "only_chats": frozenset({"5511999999999", "1@g.us"}),
    "except_chats": frozenset({"5511@s.whatsapp.net"}),
    "message_types": frozenset({"imageMessage"}),
    "filter": '{"data.n":null}',
    "media": "strip",
    "thumbnails": "strip",
    "max_body_bytes": 2048,
    "ttl_seconds": (("CALL", 0.5), ("QRCODE_UPDATED", 60.0)),
    "latest_only": frozenset({"PRESENCE_UPDATE"}),
}


def globals_of(environ: dict[str, str], config: Path | None = None) -> Webhook:
    webhook = global_webhook(load(ON | environ, config)[0])
    assert webhook is not None
    return webhook


def choices(webhook: Webhook) -> dict[str, object]:
    return {name: getattr(webhook, name) for name in CHOICES}


def test_each_choice_has_its_setting() -> None:
    assert set(GIVEN) == set(CHOICES)
    found = globals_of({f"WEBHOOK_GLOBAL_{name.upper()}": text for name, text in GIVEN.items()})
    assert choices(found) == MEANT


def test_its_certificates_come_from_files_and_are_in_no_repr(tmp_path: Path) -> None:
    authority = Authority()
    pem, other = authority.client_certificate(), authority.client_certificate("other")
    files = {
        "good.pem": pem,
        "mixed.pem": pem[: pem.index("-----BEGIN CERT")] + other[other.index("-----BEGIN CERT") :],
    }
    for name, content in files.items():
        (tmp_path / name).write_text(content)
    authority.write_certificate(tmp_path / "ca.pem")
    given = {"WEBHOOK_GLOBAL_CLIENT_CERTIFICATE_FILE": "good.pem", "WEBHOOK_GLOBAL_CA_FILE": "ca.pem"}
    environ = {name: str(tmp_path / file) for name, file in given.items()}
    found = globals_of(environ)
    assert found.tls is not None
    assert (found.tls.client_certificate, found.tls.ca) == (pem.strip(), authority.pem.strip())
    assert pem.splitlines()[1] not in repr(load(ON | environ, None)[0])
    for name, file, why in (
        ("WEBHOOK_GLOBAL_CLIENT_CERTIFICATE_FILE", "mixed.pem", "not that of its first certificate"),
        ("WEBHOOK_GLOBAL_CLIENT_CERTIFICATE_FILE", "none.pem", "No such file"),
        ("WEBHOOK_GLOBAL_CA_FILE", "good.pem", "holds a private key"),
    ):
        with pytest.raises(SettingsError) as caught:
            load(ON | {name: str(tmp_path / file)}, None)
        (problem,) = caught.value.problems
        assert (problem.startswith(f"{name}="), why in problem) == (True, True), problem
        assert pem.splitlines()[1] not in problem


def test_the_file_has_them_too(tmp_path: Path) -> None:
    config = tmp_path / "worker.toml"
    lines = [
        "[webhook.global]",
        'ignore = ["groups", "from_me"]',
        "max_body_bytes = 2048",
        "filter = '{\"data.n\":null}'",
    ]
    config.write_text("\n".join(lines))
    found = globals_of({}, config)
    assert (found.ignore, found.max_body_bytes, found.filter) == (MEANT["ignore"], 2048, MEANT["filter"])


def test_nothing_given_chooses_nothing() -> None:
    assert choices(globals_of({})) == choices(Webhook("", ""))


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("filter", '{"$or":[{"a":1},{"a":{"$gt":null}}]}', "filter.$or[1].a.$gt: a number or a string, not null"),
        ("ignore", "groups,grups", "ignore[1]: 'grups' is none of groups, status,"),
        ("ttl_seconds", "QRCODE_UPDATD=1", "ttl_seconds.QRCODE_UPDATD: is not an event; the nearest is QRCODE_UPDATED"),
        ("filter", "{", "filter: is not JSON: "),
    ],
)  # fmt: skip
def test_what_is_wrong_stops_the_start_and_names_the_place(name: str, text: str, said: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load(ON | {f"WEBHOOK_GLOBAL_{name.upper()}": text}, None)
    assert said in str(caught.value)


def test_a_filter_on_what_no_known_event_has_is_warned_of() -> None:
    _, found = load(ON | {"WEBHOOK_GLOBAL_FILTER": '{"dta.n":1}'}, None)
    assert [text.partition(",")[0] for text in found] == [
        'WEBHOOK_GLOBAL_FILTER: no event known here has "dta" at its top'
    ]


def test_its_order_needs_workers_that_deliver_in_order() -> None:
    for order, (now, following) in {
        "none": ("none", None),
        "switching": ("none", "chat"),
        "chat": ("chat", None),
        "instance": ("instance", None),
    }.items():
        found = globals_of({"ORDER": "true", "WEBHOOK_GLOBAL_ORDER": order})
        assert (found.order, found.order_next) == (now, following)
    with pytest.raises(SettingsError, match=r"WEBHOOK_GLOBAL_ORDER.*none while ORDER is false"):
        globals_of({"WEBHOOK_GLOBAL_ORDER": "chat"})


def test_order_is_refused_where_events_come_by_evolutions_own_queues() -> None:
    with pytest.raises(SettingsError, match=r"ORDER.*RABBITMQ_SOURCE is queues: those hold one kind of event each"):
        load({"ORDER": "true", "RABBITMQ_SOURCE": "queues"}, None)
