"""Settings: both sources, every limit, every wrong name; and code, config/worker.toml and docs/settings.md in step.

`python -m tests.settings.test_settings` prints the page's table.
"""

import re
import tomllib
from pathlib import Path

import pytest
from pydantic import ValidationError

from tests.support.tls import Authority
from worker.settings.settings import VARIABLES, Settings, SettingsError, load

ROOT = Path(__file__).parents[2]
SHIPPED = ROOT / "config" / "worker.toml"
EVENT = "WEBHOOK_EVENTS_MESSAGES_UPSERT"


def settings(**environ: str) -> Settings:
    return load(environ, None)[0]


def problems(environ: dict[str, str], config: Path | None = None) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        load(environ, config)
    return caught.value.problems


def toml(tmp_path: Path, content: str | bytes) -> Path:
    path = tmp_path / "worker.toml"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def shown_default(variable: str) -> str:
    value = getattr(Settings(), variable.lower())
    match value:
        case None:
            return ""
        case bool():
            return str(value).lower()
        case int() if variable.endswith("_MAX_BYTES"):
            return f"{value >> 20}MiB" if value % 2**30 else f"{value >> 30}GiB"
        case float():
            return f"{value:.6f}".rstrip("0").rstrip(".")
        case frozenset() | tuple():
            return ",".join(map(str, sorted(value)))
    written = Settings.model_fields[variable.lower()].default
    return written if isinstance(written, str) else str(value)


def table_row(variable: str) -> str:
    default, why = shown_default(variable), Settings.model_fields[variable.lower()].description
    return f"| `{variable}` | {f'`{default}`' if default else 'empty'} | {why} |"


def table() -> str:
    names = [name.upper() for name in Settings.model_fields]
    events = f"| `WEBHOOK_EVENTS_<NAME>` | `false` | {Settings.model_fields['webhook_events'].description} |"
    rows = [events if name == "WEBHOOK_EVENTS" else table_row(name) for name in names]
    return "\n".join(["| variable | default | meaning |", "| --- | --- | --- |", *rows])


def test_the_page_of_settings_has_a_row_with_name_and_default_for_each_setting() -> None:
    page = (ROOT / "docs" / "settings.md").read_text()
    rows = [row.rpartition(" | ")[0] for row in table().splitlines()[2:]]
    assert [row for row in rows if row not in page] == []


def test_shipped_file_is_valid_and_changes_nothing() -> None:
    assert load({}, SHIPPED) == load({}, None)


def test_shipped_file_names_each_setting_with_its_default_and_a_reason(tmp_path: Path) -> None:
    lines = re.sub(r"(?m)^# (?=[a-z_]+ = )", "", SHIPPED.read_text())
    assert load({}, toml(tmp_path, lines)) == load({}, None)
    paths, section = {}, ""
    for above, line in zip(["", *lines.splitlines()], lines.splitlines(), strict=False):
        if line.startswith("["):
            section = line.strip("[]").replace(".", "_") + "_"
        elif found := re.match(r"[a-z_]+(?= = )", line):
            paths[(section + found[0]).upper()] = above
    assert set(paths) == VARIABLES | {EVENT}
    assert [name for name, above in paths.items() if not above.startswith("# ")] == []


def test_environment_wins_over_file(tmp_path: Path) -> None:
    config = toml(tmp_path, "worker = {concurrency = 7, queue_prefix = 'x'}\nwebhook.events.group_update = true")
    environ = {"WORKER_CONCURRENCY": "9", "WEBHOOK_EVENTS_GROUPS_UPDATE": "no", "WORKER_QUEUE_PREFIX": " "}
    found, _ = load(environ, config)
    assert (found.worker_concurrency, found.worker_queue_prefix, found.webhook_events) == (9, "x", frozenset())


def test_settings_are_frozen_and_show_no_secret() -> None:
    found = settings(AUTHENTICATION_API_KEY="topsecret", RABBITMQ_URI="amqp://u:topsecret@h/")
    with pytest.raises(ValidationError, match="frozen"):
        found.worker_concurrency = 1
    assert "topsecret" not in repr(found)


def test_values_are_read_as_documented() -> None:
    assert settings(WEBHOOK_REQUEST_TIMEOUT_MS="10000").worker_drain_seconds == 15
    assert settings(WORKER_DRAIN_SECONDS="0").worker_drain_seconds == 0
    assert settings(METRICS_INSTANCES="a, b c,").metrics_instances == {"a", "b c"}
    networks = settings(EGRESS_ALLOW="10.0.0.0/8,127.0.0.1,::1").egress_allow
    assert [str(n) for n in networks] == ["10.0.0.0/8", "127.0.0.1/32", "::1/128"]
    codes = settings(WEBHOOK_RETRY_NON_RETRYABLE_STATUS_CODES="404,599")
    assert codes.webhook_retry_non_retryable_status_codes == {404, 599}
    assert settings(LOG_LEVEL="INFO", WEBHOOK_EVENTS_GROUP_UPDATE="1").webhook_events == {"GROUPS_UPDATE"}
    assert settings(SERVER_PORT="0", METRICS_PORT="0").metrics_port == 0
    assert settings(SERVER_PORT="9464", SERVER_HOST="10.0.0.1", METRICS_HOST="10.0.0.2").server_port == 9464


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, "sqlite:///history.db"),
        ({"DATABASE_CONNECTION_URI": "sqlite:////data/my webhooks.db"}, "sqlite:////data/history.db"),
        ({"DATABASE_CONNECTION_URI": "postgresql://u:p@db/worker"}, "postgresql://db/worker"),
        ({"DATABASE_CONNECTION_URI": "mysql://u:p@db/evo", "WEBHOOK_SOURCE": "evolution"}, "sqlite:///history.db"),
        ({"DATABASE_CONNECTION_URI": "postgresql://db/x", "WEBHOOK_SOURCE": "file"}, "sqlite:///history.db"),
        ({"HISTORY_DATABASE_URI": "mysql://u:p@db/history"}, "mysql://db/history"),
    ],
)
def test_history_is_kept_beside_the_webhooks_unless_they_are_somebody_elses(
    given: dict[str, str], expected: str
) -> None:
    assert settings(**given).history_database_uri.shown.replace("u:***@", "") == expected


def test_a_wrong_database_of_webhooks_is_told_once() -> None:
    (problem,) = problems({"DATABASE_CONNECTION_URI": "oracle://h/x"})
    assert problem.startswith("DATABASE_CONNECTION_URI=")


def test_sizes_and_booleans() -> None:
    sizes = {"1000": 1000, "256MiB": 2**28, "256 mb": 256_000_000, "1GiB": 2**30, "7B": 7}
    assert {s: settings(WORKER_MAX_BYTES=s).worker_max_bytes for s in sizes} == sizes
    flags = {"true": True, "1": True, "YES": True, "false": False, "0": False, "No": False}
    assert {f: settings(RABBITMQ_DECLARE=f).rabbitmq_declare for f in flags} == flags
    assert {f: settings(WEBHOOK_FORWARD_APIKEY=f).webhook_forward_apikey for f in flags} == flags
    assert settings().webhook_forward_apikey is settings(WEBHOOK_FORWARD_APIKEY=" ").webhook_forward_apikey is None


WRONG = f"""
WEBHOOK_RETRY_MAX_ATTEMPTS 0 -1 1.5 x {"9" * 5000} ٣ 1_0 true 101
WEBHOOK_RETRY_MULTIPLIER 0.9 nan inf 1e3 -3 {"1" * 400}
WEBHOOK_RETRY_INITIAL_DELAY_SECONDS 0 0.5 2592001
WEBHOOK_RETRY_MAX_DELAY_SECONDS 4
WEBHOOK_RETRY_JITTER_FACTOR 1.01 -0.1
WEBHOOK_RETRY_NON_RETRYABLE_STATUS_CODES 200 299,300 600 a 404;410 ,
WEBHOOK_RETRY_MAX_AGE_SECONDS 0 99999999999
METRICS_PORT 65536 -1 8085 http
WORKER_CONCURRENCY 0 100001
WORKER_MAX_BYTES 0 1XB MiB -1 1.5GiB {"9" * 40}
WORKER_QUEUE_PREFIX amq amq.x a/b é ٣ {"x" * 151}
RABBITMQ_URI http://h amqp:// amqp:///v amqp://h:0 amqp://h:x amqp://[::1
DATABASE_CONNECTION_URI sqlite:// oracle://h/d postgresql:// webhooks.db
INSTANCE_TOKENS_URI sqlite:///evolution.db oracle://h/d h
WEBHOOK_GLOBAL_URL ftp://h https:// h/x http://h:99999
WEBHOOK_GLOBAL_IGNORE group groups,x ,,
WEBHOOK_GLOBAL_FILTER {{ [] 5 {{"a":{{"$gt":null}}}} {{"$eq":1}} {{"a":1,"a":2}} {{"a":NaN}} {"[" * 5000}
WEBHOOK_GLOBAL_ONLY_CHATS ana
WEBHOOK_GLOBAL_MEDIA drop
WEBHOOK_GLOBAL_MAX_BODY_BYTES 1023 x -5
WEBHOOK_GLOBAL_TTL_SECONDS 60 QRCODE_UPDATD=60 CALL=0 , CALL=1,call=2
WEBHOOK_GLOBAL_LATEST_ONLY PRESENCE_UPDAT
EGRESS_PROXY proxy:3128 https://proxy:3128 http://proxy http://u:hunter#2@proxy:3128 http://proxy:3128/x
EGRESS_CA_FILE /nowhere/ca.pem /tmp /dev/null
OPS_WEBHOOK_URL ftp://h https:// h/x
OPS_WEBHOOK_SECRET secret whsec_ whsec_QQ== whsec_!
OPS_WEBHOOK_FORMAT teams slack,discord
EGRESS_DENY 10.0.0.1/8 10.0.0.0/33 localhost ::1,x ,,
EGRESS_ALLOW ,
METRICS_INSTANCES ,
RABBITMQ_EXCHANGE_NAME {"é" * 128}
LOG_LEVEL ERROR,WARN
RABBITMQ_DECLARE on
{EVENT} maybe
"""
HOSTILE = [(name, v) for name in sorted(VARIABLES) for v in ("a\0b", "a\udcffb")]
TABLE = [(line.split()[0], value) for line in WRONG.strip().splitlines() for value in line.split()[1:]]


@pytest.mark.parametrize(("name", "value"), [*TABLE, *HOSTILE])
def test_wrong_value_is_named_shown_and_told_what_is_allowed(name: str, value: str) -> None:
    found = problems({name: value})
    assert all(p.startswith(f"{name}=") and " (environment): must be " in p for p in found), found
    assert all(len(p) < 400 and p.isprintable() and p.encode() for p in found)


@pytest.mark.parametrize(
    ("environ", "allowed"),
    [
        ({"WEBHOOK_GLOBAL_ENABLED": "true"}, "WEBHOOK_GLOBAL_URL='' (default): must be an http:// or"),
        ({"WEBHOOK_SOURCE": "evolution"}, "must be Evolution's postgresql:// or mysql://"),
        (
            {
                "WEBHOOK_SOURCE": "evolution",
                "DATABASE_CONNECTION_URI": "postgresql://h/evolution",
                "INSTANCE_TOKENS_URI": "postgresql://h/evolution",
            },
            "empty while WEBHOOK_SOURCE is evolution",
        ),
        ({"WEBHOOK_RETRY_INITIAL_DELAY_SECONDS": "21601"}, "at least WEBHOOK_RETRY_INITIAL_DELAY_SECONDS"),
        ({"SERVER_PORT": "9464"}, "METRICS_PORT='9464' (default): must be another port than SERVER_PORT"),
    ],
)
def test_values_must_agree(environ: dict[str, str], allowed: str) -> None:
    assert allowed in problems(environ)[0]


def test_all_problems_are_told_at_once(tmp_path: Path) -> None:
    config = toml(tmp_path, "x = 1\n[rabbitmq]\nurl = 'amqp://h'\n[log]\nlevel = 3")
    environ = {"WEBHOOK_REQUEST_TIMEOUT_MS": "0", "SERVER_PORT": "9464", "WORKER_CONCURENCY": "5", EVENT: "x"}
    names = [re.split(r"[=: ]", p)[0] for p in problems(environ, config)]
    wrong = ["METRICS_PORT", "WEBHOOK_REQUEST_TIMEOUT_MS", "log.level"]
    assert names == ["x", "rabbitmq.url", "WORKER_CONCURENCY", EVENT, *wrong]


def test_warning_when_a_secret_signs_nothing() -> None:
    environ = {"OPS_WEBHOOK_SECRET": "whsec_" + "A" * 32}
    assert load(environ, None)[1] == ["OPS_WEBHOOK_SECRET is set, but no OPS_WEBHOOK_URL: it signs nothing"]
    assert load(environ | {"OPS_WEBHOOK_URL": "https://h/"}, None)[1] == []


def test_warning_when_the_global_webhook_gets_nothing_or_a_variable_is_empty() -> None:
    environ = {"WEBHOOK_GLOBAL_ENABLED": "true", "WEBHOOK_GLOBAL_URL": "https://h"}
    assert "gets nothing" in load(environ, None)[1][0]
    assert load(environ | {EVENT: "true", "WEBHOOK_SECRET_KEY": ""}, None)[1] == []
    assert load({"RABBITMQ_URI": " "}, None)[1] == ["RABBITMQ_URI is empty and counts as not set"]


def test_other_programs_proxies_are_told_of_once_and_only_while_there_is_none_of_ours() -> None:
    environ = {"HTTPS_PROXY": "http://u:topsecret@proxy:3128", "http_proxy": "http://proxy:3128", "ALL_PROXY": " "}
    (warning,) = load(environ, None)[1]
    assert warning.startswith("HTTPS_PROXY, http_proxy: ignored")
    assert "topsecret" not in warning
    found, warnings = load(environ | {"EGRESS_PROXY": "http://u:topsecret@proxy:3128"}, None)
    assert warnings == []
    assert str(found.egress_proxy) == "http://u:***@proxy:3128"
    assert "topsecret" not in repr(found)


def test_no_proxy_is_read_in_both_cases_and_never_wrong() -> None:
    assert settings(NO_PROXY="a.test, 10.0.0.0/8,[nonsense").no_proxy == ("a.test", "10.0.0.0/8", "[nonsense")
    assert settings(no_proxy="a.test").no_proxy == ("a.test",)
    assert settings(NO_PROXY=",").no_proxy == ()
    assert settings(no_proxy="a.test", NO_PROXY="b.test").no_proxy == ("b.test",)
    assert load({"NO_COLOR": "1", "NO_PROX": "x"}, None)[1] == []


def test_the_file_of_authorities_must_hold_certificates(tmp_path: Path) -> None:
    good = Authority().write_certificate(tmp_path / "ca.pem")
    assert settings(EGRESS_CA_FILE=str(good)).egress_ca_file == str(good)
    (tmp_path / "key.pem").write_text("-----BEGIN CERTIFICATE-----\nhunter2\n-----END CERTIFICATE-----\n")
    told = {"key.pem": "with certificates in PEM form", "none": "No such file", ".": "Is a directory"}
    for name, why in told.items():
        (problem,) = problems({"EGRESS_CA_FILE": str(tmp_path / name)})
        assert problem.startswith("EGRESS_CA_FILE=")
        assert why in problem
        assert "hunter2" not in problem


IGNORED = """
SERVER_TYPE SERVER_URL SERVER_NAME SERVER_DISABLE_DOCS DATABASE_ENABLED DATABASE_PROVIDER LOG_COLOR
DATABASE_CONNECTION_CLIENT_NAME DATABASE_SAVE_DATA_INSTANCE DATABASE_DELETE_MESSAGE RABBITMQ_ENABLED
LOG_BAILEYS RABBITMQ_GLOBAL_ENABLED RABBITMQ_FRAME_MAX RABBITMQ_EVENTS_MESSAGES_UPSERT
CACHE_REDIS_ENABLED CACHE_LOCAL_ENABLED WEBHOOK_EVENTS_ERRORS WEBHOOK_EVENTS_ERRORS_WEBHOOK
AUTHENTICATION_EXPOSE_IN_FETCH_INSTANCES METRICS_PASSWORD SQS_ENABLED WEBSOCKET_ENABLED S3_PORT PATH LANG
HOSTNAME LOGNAME WORKER_PORT_80_TCP METRICS_PORT_9464_TCP_ADDR RABBITMQ_SERVICE_HOST
RABBITMQ_SERVICE_PORT_AMQP WEBHOOK_WORKER_SERVICE_HOST SERVER_SERVICE_PORT
"""
LINKS = dict.fromkeys(["RABBITMQ_PORT", "METRICS_PORT", "SERVER_PORT"], "tcp://10.0.0.1:9464")


def test_variables_of_evolution_and_kubernetes_are_ignored() -> None:
    assert load(dict.fromkeys(IGNORED.split(), "x") | LINKS, None) == load({}, None)


SLIPS = {
    "RABBITMQ_URL": "a setting; did you mean RABBITMQ_URI?",
    "rabbitmq_uri": "a setting; did you mean RABBITMQ_URI?",
    "RABITMQ_URI": "a setting; did you mean RABBITMQ_URI?",
    "WEBHOOK_RETRY_ATTEMPTS": "a setting; did you mean WEBHOOK_RETRY_MAX_ATTEMPTS?",
    "WEBHOOK_EVENTS_MESSAGE_UPSERT": f"an event that can be chosen; did you mean {EVENT}?",
}


def test_slips_in_the_environment_get_the_nearest_name_and_show_no_value() -> None:
    assert problems(dict.fromkeys(SLIPS, "pw")) == [f"{n}: is not {SLIPS[n]}" for n in sorted(SLIPS)]


def test_stranger_with_our_prefix_is_a_warning() -> None:
    _, warnings = load({"DATABASE_URL": "pw", "X" * 100_000: ""}, None)
    assert warnings == ["DATABASE_URL: is no setting of ours, ignored; did you mean DATABASE_CONNECTION_URI?"]


def _takes_any_key() -> bool:
    """Python 3.14's tomllib refuses a key of more than 1000 parts; a patch may bring that to older ones."""
    try:
        tomllib.loads(".".join("a" * 1001) + " = 1")
    except (tomllib.TOMLDecodeError, RecursionError):
        return False
    return True


TAKES_ANY_KEY = _takes_any_key()


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("a = 1\nb = ]", "line 2, column 5"),
        (b"a = '\xff'", "position 5"),
        ("a=" + "[" * 9999, "recursion"),
        ("a = " + "9" * 5000, "digits"),
        ("#" * (1 << 20) + "##", "1 MiB"),
        ("[rabitmq]", "not a setting"),
        ("[[worker]]\nx = 1", "worker ("),
        ("worker.concurrency = 0x" + "f" * 9999, "39996 bits"),
        ("worker.max.bytes = {a = 1}", "worker.max.bytes.a ("),
        (".".join("a" * 999) + " = 1", "a.a.a.a ("),
        (".".join("a" * 9999) + " = 1", "a.a.a.a (" if TAKES_ANY_KEY else "1000 parts"),
        ("log_level = 'info'\n[log]\nlevel = 'debug'", "given twice"),
        ("metrics.instances = [{}]", "metrics.instances="),
        ("cache.ttl_secnds = 5", "cache.ttl_secnds ("),
        ("cache.ttl_secnds = 5", "did you mean cache.ttl_seconds?"),
        ("cach.ttl_seconds = 5", "did you mean cache.ttl_seconds?"),
        ("cache_ttl_secnds = 5", "did you mean cache_ttl_seconds?"),
        ("[webhook.retry]\nmax_attemps = 5", "did you mean webhook.retry.max_attempts?"),
        ("[webhook.retri]\nmax_attempts = 5", "did you mean webhook.retry_max_attempts?"),
        ("[webhook.events]\ncall = 'perhaps'", "webhook.events.call='perhaps' ("),
        ("[webhook.events]\ncalls = true", "did you mean webhook.events.call?"),
    ],
)
def test_hostile_file_is_explained(content: str | bytes, told: str, tmp_path: Path) -> None:
    found = problems({}, toml(tmp_path, content))
    assert len(found) == 1
    assert told in found[0]


def test_file_that_cannot_be_read(tmp_path: Path) -> None:
    told = {"none": "No such file", ".": "Is a directory", "\0": "null byte"}
    assert [name for name in told if told[name] not in problems({}, tmp_path / name)[0]] == []


def test_credentials_are_masked() -> None:
    for uri in ("http://u:PW@h:5/", "amqp://u:P/PW@h@i", "u:PW", "http://h?x=PW", "amqp://u:PW"):
        wrong = {"RABBITMQ_URI": uri, "LOG_LEVEL": "x://u:PW@h", "AUTHENTICATION_API_KEY": "PW\nx"}
        assert "PW" not in "".join(problems(wrong))


if __name__ == "__main__":
    print(table())


@pytest.mark.parametrize(
    ("history", "missing"), [("off", "dead letters"), ("failures", "fails or recovers"), ("all", None)]
)
def test_warning_when_the_history_has_too_little_for_notices(history: str, missing: str | None) -> None:
    found = load({"OPS_WEBHOOK_URL": "https://h/", "HISTORY": history}, None)[1]
    assert [missing in warning for warning in found] == ([] if missing is None else [True])
    assert load({"HISTORY": history}, None)[1] == []


def test_instances_of_evolution_go_are_named_by_their_ids_and_only_with_the_queues_that_they_are_for() -> None:
    one = "8f0a3c52-6c0e-4f7e-9a55-0d9f4f0f7c11"
    found = settings(RABBITMQ_SOURCE="queues", RABBITMQ_INSTANCE_QUEUES=f"{one}, {one}")
    assert found.rabbitmq_instance_queues == {one}
    (alone,) = problems({"RABBITMQ_INSTANCE_QUEUES": one})
    assert "must be empty unless RABBITMQ_SOURCE is queues" in alone
    (wrong,) = problems({"RABBITMQ_SOURCE": "queues", "RABBITMQ_INSTANCE_QUEUES": "loja"})
    assert "must be ids of instances (UUIDs)" in wrong
    many = ",".join(one.replace("8f0a3c52", f"{number:08x}") for number in range(33))
    (too_many,) = problems({"RABBITMQ_SOURCE": "queues", "RABBITMQ_INSTANCE_QUEUES": many})
    assert "must be at most 32 ids: for more, AMQP_GLOBAL_ENABLED=true" in too_many
