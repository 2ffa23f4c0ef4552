"""The chart's pods: their rights, probes, settings, and the time they get to end."""

from __future__ import annotations

from typing import Any

import pytest

from tests.deploy.chart import (
    HISTORY_APART,
    PRODUCTION,
    SCALED,
    SETS,
    Manifest,
    Values,
    environment,
    of,
    pods,
    render,
    templates,
)
from worker.settings.settings import VARIABLES, load

SPARE_SECONDS = 20
"""Beyond the drain the worker gives cancelling, the last publishes, the last acks and the closing 5 s each."""


@pytest.fixture(scope="module", params=SETS)
def rendered(request: pytest.FixtureRequest) -> list[Manifest]:
    return render(SETS[request.param])


def test_a_pod_gets_more_time_than_its_drain(rendered: list[Manifest]) -> None:
    for pod in pods(rendered):
        env = environment(pod)
        drain = int(env["WORKER_DRAIN_SECONDS"])
        assert pod["terminationGracePeriodSeconds"] >= drain + SPARE_SECONDS


@pytest.mark.parametrize(("values", "drain"), [({}, 35), (PRODUCTION, 51), (SCALED, 90), ({"drainSeconds": 0}, 0)])
def test_the_drain_is_the_request_timeout_rounded_up_and_five_unless_given(values: Values, drain: int) -> None:
    assert {environment(pod)["WORKER_DRAIN_SECONDS"] for pod in pods(render(values))} == {str(drain)}


def test_pods_run_without_rights(rendered: list[Manifest]) -> None:
    for pod in pods(rendered):
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["automountServiceAccountToken"] is pod["enableServiceLinks"] is False
        context = pod["containers"][0]["securityContext"]
        assert context["readOnlyRootFilesystem"] is True
        assert (context["allowPrivilegeEscalation"], context["capabilities"]) == (False, {"drop": ["ALL"]})
        assert {c["topologyKey"] for c in pod["topologySpreadConstraints"]} == {
            "kubernetes.io/hostname",
            "topology.kubernetes.io/zone",
        }


def probed(pod: dict[str, Any]) -> list[tuple[str, str]]:
    """(path, port) of the start, liveness and readiness probes; each port must be one that the container names."""
    container = pod["containers"][0]
    gets = [container[f"{probe}Probe"]["httpGet"] for probe in ("startup", "liveness", "readiness")]
    assert {get["port"] for get in gets} <= {port["name"] for port in container["ports"]}
    return [(get["path"], get["port"]) for get in gets]


def test_a_pod_is_alive_while_it_answers_and_ready_while_it_consumes_or_serves(rendered: list[Manifest]) -> None:
    for pod in pods(rendered):
        assert probed(pod) == [("/livez", "metrics"), ("/livez", "metrics"), ("/readyz", "metrics")]
        port = {"name": "metrics", "containerPort": int(environment(pod)["METRICS_PORT"])}
        assert port in pod["containers"][0]["ports"]


def test_the_api_has_pods_of_its_own_which_do_not_deliver() -> None:
    manifests = render(PRODUCTION)
    api = of(manifests, "Deployment", "-api")["spec"]["template"]
    assert api["spec"]["containers"][0]["args"] == ["api"]
    assert of(manifests, "Service", "-api")["spec"]["selector"].items() <= api["metadata"]["labels"].items()
    worker = of(manifests, "Deployment", "-worker")["spec"]["template"]
    assert worker["spec"]["containers"][0]["args"] == ["run"]
    assert "AUTHENTICATION_API_KEY" not in environment(worker["spec"])
    selector = of(manifests, "PodMonitor")["spec"]["selector"]["matchLabels"].items()
    assert selector <= worker["metadata"]["labels"].items()
    assert not selector <= api["metadata"]["labels"].items()


def test_with_sqlite_the_api_is_in_the_one_pod() -> None:
    manifests = render({"api": {"enabled": True}, "secrets": {"apiKey": "k"}})
    worker = of(manifests, "Deployment")["spec"]["template"]
    assert environment(worker["spec"])["AUTHENTICATION_API_KEY"] == "secret:AUTHENTICATION_API_KEY"
    assert {port["name"] for port in worker["spec"]["containers"][0]["ports"]} == {"metrics", "http"}
    assert of(manifests, "Service", "-api")["spec"]["selector"].items() <= worker["metadata"]["labels"].items()


def test_the_worker_accepts_the_environment_that_the_chart_makes(rendered: list[Manifest]) -> None:
    secrets = {
        "secret:RABBITMQ_URI": "amqp://broker.example/",
        "secret:DATABASE_CONNECTION_URI": "postgresql://db.example/webhooks",
        "secret:WEBHOOK_SECRET_KEY": SCALED["secrets"]["webhookSecretKey"],
        "secret:HISTORY_DATABASE_URI": "postgresql://history.example/history",
        "secret:INSTANCE_TOKENS_URI": HISTORY_APART["secrets"]["instanceTokensUri"],
        "secret:OPS_WEBHOOK_URL": "https://ops.example/",
        "secret:OPS_WEBHOOK_SECRET": HISTORY_APART["secrets"]["opsWebhookSecret"],
    }
    for pod in pods(rendered):
        given = {name: secrets.get(value, value) for name, value in environment(pod).items()}
        if given.get("WORKER_CONCURRENCY") == "1000000":
            given["WORKER_CONCURRENCY"] = "100"  # the set has it to see how a large number is written
        assert given.keys() <= VARIABLES
        settings, warnings = load(given, None)
        assert not warnings
        assert settings.worker_drain_seconds > settings.webhook_request_timeout_ms / 1000


def test_settings_are_written_as_they_were_meant() -> None:
    env = environment(pods(render(PRODUCTION))[0])
    assert env["WORKER_CONCURRENCY"] == "1000000"
    assert env["BREAKER_FAILURE_RATE"] == "0.5"
    assert env["WEBHOOK_FORWARD_APIKEY"] == "false"
    assert env["EGRESS_ALLOW"] == "10.96.0.0/12,192.168.7.9,fd00:1::7"


def test_the_migration_is_done_before_any_pod_is_replaced() -> None:
    job = of(render(PRODUCTION), "Job")
    assert job["metadata"]["annotations"]["helm.sh/hook"] == "pre-install,pre-upgrade"
    pod = job["spec"]["template"]["spec"]
    assert pod["containers"][0]["args"] == ["migrate"]
    # Nothing of the release exists yet: neither its service account nor a Secret of its own.
    assert "serviceAccountName" not in pod
    assert environment(pod)["DATABASE_CONNECTION_URI"] == "secret:DATABASE_CONNECTION_URI"


def test_sqlite_is_one_pod_at_any_time() -> None:
    manifests = render({})
    assert of(manifests, "Deployment")["spec"]["strategy"] == {"type": "Recreate"}
    rolling = of(render(SCALED), "Deployment")["spec"]["strategy"]["rollingUpdate"]
    assert rolling == {"maxSurge": 1, "maxUnavailable": 0}


def test_the_servers_listen_on_every_address_of_both_families_unless_told() -> None:
    for pod in pods(render(PRODUCTION)):
        env = environment(pod)
        assert {env[name] for name in ("METRICS_HOST", "SERVER_HOST") if name in env} == {"::"}
    manifests = render(PRODUCTION | {"metricsHost": "0.0.0.0", "api": {"enabled": True, "host": "10.0.0.1"}})
    env = environment(of(manifests, "Deployment", "-api")["spec"]["template"]["spec"])
    assert (env["METRICS_HOST"], env["SERVER_HOST"]) == ("0.0.0.0", "10.0.0.1")


def test_the_api_is_served_in_both_families_and_a_pod_is_scraped_in_one() -> None:
    manifests = render(PRODUCTION)
    assert of(manifests, "Service", "-api")["spec"]["ipFamilyPolicy"] == "PreferDualStack"
    assert "ipFamilyPolicy" not in of(manifests, "Service", "-metrics")["spec"]
    single = render(PRODUCTION | {"api": {"enabled": True, "ipFamilyPolicy": "SingleStack"}})
    assert of(single, "Service", "-api")["spec"]["ipFamilyPolicy"] == "SingleStack"


OWN_IDS: Values = {"podSecurityContext": {"runAsUser": None, "runAsGroup": None, "fsGroup": None}}


def test_user_and_groups_are_left_to_the_cluster_where_they_are_null() -> None:
    for template in templates(render(PRODUCTION | OWN_IDS)):
        context = template["spec"]["securityContext"]
        assert context == {
            "runAsNonRoot": True,
            "fsGroupChangePolicy": "OnRootMismatch",
            "seccompProfile": {"type": "RuntimeDefault"},
        }


def test_a_security_context_that_is_null_is_left_out_whole() -> None:
    for template in templates(render(PRODUCTION | {"podSecurityContext": None, "securityContext": None})):
        assert "securityContext" not in template["spec"]
        assert "securityContext" not in template["spec"]["containers"][0]


CA = {"name": "ca", "configMap": {"name": "company-ca"}}
EXTRA: Values = {
    "extraEnv": [{"name": "SSL_CERT_FILE", "value": "/etc/ca/ca.pem"}],
    "extraEnvFrom": [{"secretRef": {"name": "more"}}],
    "extraVolumes": [CA],
    "extraVolumeMounts": [{"name": "ca", "mountPath": "/etc/ca", "readOnly": True}],
    "initContainers": [{"name": "first", "image": "busybox:1", "command": ["true"]}],
}


def test_every_pod_gets_what_is_extra() -> None:
    found = templates(render(PRODUCTION | EXTRA))
    assert len(found) == 3
    for template in found:
        pod, container = template["spec"], template["spec"]["containers"][0]
        assert EXTRA["extraEnv"][0] in container["env"]
        assert container["envFrom"] == EXTRA["extraEnvFrom"]
        assert CA in pod["volumes"]
        assert EXTRA["extraVolumeMounts"][0] in container["volumeMounts"]
        (first,) = pod["initContainers"]
        assert first == EXTRA["initContainers"][0] | {"securityContext": container["securityContext"]}


def test_a_security_context_of_an_init_container_is_its_own() -> None:
    own = {"initContainers": [EXTRA["initContainers"][0] | {"securityContext": {"readOnlyRootFilesystem": False}}]}
    (first,) = pods(render(own))[0]["initContainers"]
    assert first["securityContext"]["readOnlyRootFilesystem"] is False


FILE: Values = {"settings": {"WEBHOOK_SOURCE": "file"}, "replicaCount": 3}


@pytest.mark.parametrize(
    ("given", "source"),
    [
        ({"content": "[[webhook]]"}, {"secret": {"secretName": "demo-webhook-worker-file"}}),
        ({"existingSecret": "mine"}, {"secret": {"secretName": "mine"}}),
        ({"existingConfigMap": "mine"}, {"configMap": {"name": "mine"}}),
    ],
)
def test_with_source_file_the_pods_have_their_file_and_no_database(given: Values, source: Values) -> None:
    manifests = render(FILE | {"webhookFile": given | {"key": "w.toml"}})
    (pod,) = pods(manifests)
    ((kind, wanted),) = source.items()
    (volume,) = [one for one in pod["volumes"] if one["name"] == "webhook-file"]
    assert volume == {"name": "webhook-file", kind: wanted | {"items": [{"key": "w.toml", "path": "w.toml"}]}}
    (mount,) = [one for one in pod["containers"][0]["volumeMounts"] if one["name"] == "webhook-file"]
    assert environment(pod)["WEBHOOK_FILE"] == f"{mount['mountPath']}/w.toml"
    assert "subPath" not in mount
    assert "DATABASE_CONNECTION_URI" not in environment(pod)
    assert not [m for m in manifests if m["kind"] == "PersistentVolumeClaim"]


def test_the_file_itself_stands_in_a_secret() -> None:
    content = '[[webhook]]\ninstance = "demo"\nurl = "https://receiver.example/é"\n'
    manifests = render(FILE | {"webhookFile": {"content": content}})
    assert of(manifests, "Secret", "-file")["stringData"] == {"webhooks.toml": content}


def test_a_file_may_come_from_a_volume_of_ones_own() -> None:
    there = {
        "settings": FILE["settings"] | {"WEBHOOK_FILE": "/etc/ca/webhooks.toml"},
        **{name: EXTRA[name] for name in ("extraVolumes", "extraVolumeMounts")},
    }
    assert environment(pods(render(there))[0])["WEBHOOK_FILE"] == "/etc/ca/webhooks.toml"


def test_the_worker_starts_with_the_environment_of_source_file() -> None:
    (pod,) = pods(render(FILE | {"webhookFile": {"content": "x"}}))
    given = environment(pod)
    given = {name: value for name, value in given.items() if not value.startswith("secret:")}
    settings, warnings = load(given, None)
    assert not warnings
    assert (settings.webhook_source, settings.webhook_file) == ("file", "/etc/webhook-worker/webhooks.toml")
    assert settings.metrics_host == "::"


def test_with_source_evolution_the_file_beside_its_rows_is_mounted_too() -> None:
    given = {
        "settings": {"WEBHOOK_SOURCE": "evolution"},
        "database": {"kind": "postgresql"},
        "secrets": {"existingSecret": "webhooks"},
        "webhookFile": {"content": "x"},
    }
    (pod, *_) = pods(render(given))
    assert environment(pod)["EVOLUTION_WEBHOOK_FILE"] == "/etc/webhook-worker/webhooks.toml"
    assert "WEBHOOK_FILE" not in environment(pod)


HISTORY = [{"name": "HISTORY_DATABASE_URI", "valueFrom": {"secretKeyRef": {"name": "history", "key": "uri"}}}]


def test_without_a_database_of_the_workers_own_there_is_history_only_where_one_is_named() -> None:
    file = FILE | {"webhookFile": {"content": "x"}}
    assert environment(pods(render(file))[0])["HISTORY"] == "off"
    assert "HISTORY" not in environment(pods(render(file | {"extraEnv": HISTORY}))[0])
    chosen = file | {"settings": file["settings"] | {"HISTORY": "failures"}}
    assert environment(pods(render(chosen))[0])["HISTORY"] == "failures"
    assert "HISTORY" not in environment(pods(render({}))[0])


def test_history_is_written_by_pods_of_its_own_and_not_by_the_workers_then() -> None:
    manifests = render(HISTORY_APART)
    writer, worker = (of(manifests, "Deployment", f"-{name}")["spec"] for name in ("history", "worker"))
    assert writer["template"]["spec"]["containers"][0]["args"] == ["history-writer"]
    assert (writer["replicas"], writer["template"]["metadata"]["labels"]["app.kubernetes.io/component"]) == (
        2,
        "history",
    )
    written, delivered = (environment(spec["template"]["spec"]) for spec in (writer, worker))
    assert delivered["HISTORY_WRITER"] == "false"
    assert "HISTORY_WRITER" not in written
    wanted = {"HISTORY": "all", "HISTORY_DAYS": "30", "HISTORY_DATABASE_URI": "secret:HISTORY_DATABASE_URI"}
    assert wanted.items() <= written.items()
    assert wanted.items() <= delivered.items()
    notices = {"OPS_WEBHOOK_URL", "OPS_WEBHOOK_SECRET", "OPS_WEBHOOK_FORMAT"}
    assert notices <= delivered.keys(), "it tells"
    assert not notices & written.keys()


def test_history_pods_are_watched_and_evicted_one_by_one() -> None:
    manifests = render(HISTORY_APART)
    labels = of(manifests, "Deployment", "-history")["spec"]["template"]["metadata"]["labels"].items()
    for kind in ("PodMonitor", "PodDisruptionBudget"):
        assert of(manifests, kind, "-history")["spec"]["selector"]["matchLabels"].items() <= labels
        assert not of(manifests, kind, "-worker")["spec"]["selector"]["matchLabels"].items() <= labels


def test_without_history_pods_the_workers_write_it() -> None:
    for pod in pods(render(PRODUCTION)):
        assert not {"HISTORY_WRITER", "HISTORY_DATABASE_URI", "HISTORY"} & environment(pod).keys()


def test_a_history_database_in_a_secret_of_ones_own_is_every_pods() -> None:
    """The migration's too; and history is on then, whatever the source of webhooks."""
    given = {"secrets": {"existingSecret": "webhooks"}, "history": {"separateDatabase": True}}
    found = templates(render(PRODUCTION | given))
    assert {environment(each["spec"])["HISTORY_DATABASE_URI"] for each in found} == {"secret:HISTORY_DATABASE_URI"}
    file = FILE | {"webhookFile": {"content": "x"}} | given
    assert "HISTORY" not in environment(pods(render(file))[0])


def test_the_database_of_instance_tokens_is_named_to_the_pods_that_serve_the_api() -> None:
    manifests = render(HISTORY_APART)
    (secret,) = (each["stringData"] for each in manifests if each["kind"] == "Secret")
    assert secret["INSTANCE_TOKENS_URI"] == HISTORY_APART["secrets"]["instanceTokensUri"]
    named = {
        name: environment(of(manifests, "Deployment", f"-{name}")["spec"]["template"]["spec"]).get(
            "INSTANCE_TOKENS_URI"
        )
        for name in ("api", "worker", "history")
    }
    assert named == {"api": "secret:INSTANCE_TOKENS_URI", "worker": None, "history": None}


def test_the_database_of_instance_tokens_in_a_secret_of_ones_own() -> None:
    given = {"secrets": {"existingSecret": "webhooks"}, "api": {"enabled": True, "instanceTokens": True}}
    assert environment(pods(render(given))[0])["INSTANCE_TOKENS_URI"] == "secret:INSTANCE_TOKENS_URI"
    without = given | {"api": {"enabled": True}}
    assert "INSTANCE_TOKENS_URI" not in environment(pods(render(without))[0])


def test_order_is_off_unless_given_and_then_on_in_every_pod_that_delivers_or_sets_webhooks() -> None:
    assert not any("ORDER" in environment(pod) for pod in pods(render(SCALED)))
    for pod in pods(render(SCALED | {"order": {"enabled": True, "sidings": 9}})):
        assert (environment(pod)["ORDER"], environment(pod)["ORDER_SIDINGS"]) == ("true", "9")


def test_the_archive_is_the_workers_default_unless_given() -> None:
    for pod in pods(render(PRODUCTION)):
        assert not {"ARCHIVE", "ARCHIVE_HOURS", "ARCHIVE_MAX_BYTES"} & environment(pod).keys()
    given = SCALED | {"archive": {"enabled": True, "hours": 48, "maxBytes": "5 GiB"}}
    for pod in pods(render(given)):
        env = environment(pod)
        assert "ARCHIVE" not in env
        settings, _ = load({name: env[name] for name in ("ARCHIVE_HOURS", "ARCHIVE_MAX_BYTES")}, None)
        assert (settings.archive_hours, settings.archive_max_bytes) == (48, 5 * 1024**3)
    assert {environment(pod)["ARCHIVE"] for pod in pods(render({"archive": {"enabled": False}}))} == {"false"}


def test_disabled_webhooks_may_be_sent_what_they_missed() -> None:
    (pod,) = pods(render({"settings": {"DISABLED_WEBHOOK": "replay"}}))
    assert environment(pod)["DISABLED_WEBHOOK"] == "replay"
