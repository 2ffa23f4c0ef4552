"""What the chart refuses, and in which words: values that a server would not take, or that a pod would fail by."""

from __future__ import annotations

import helm_python
import pytest

from tests.deploy.chart import PRODUCTION, SCALED, Values, render

REPLAYS: Values = {"settings": {"DISABLED_WEBHOOK": "replay"}}
EVOLUTIONS: Values = {"database": {"kind": "postgresql"}, "secrets": {"databaseUri": "postgresql://h/evolution"}}


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"replicaCount": 2}, "sqlite, which is for one pod, but these values make up to 2"),
        ({"autoscaling": {"kind": "hpa", "minReplicas": 1, "maxReplicas": 4}}, "make up to 4"),
        ({"autoscaling": {"kind": "keda"}}, "make up to 10"),
        ({"api": {"enabled": True}}, "secrets.apiKey"),
        ({"database": {"kind": "postgresql"}}, "must begin with postgresql://"),
        ({"database": {"kind": "mysql"}, "secrets": {"databaseUri": "postgresql://h/d"}}, "must begin with mysql://"),
        ({"secrets": {"databaseUri": "postgresql://h/d"}}, "choose postgresql or mysql"),
        (SCALED | {"secrets": SCALED["secrets"] | {"managementUri": ""}}, "secrets.managementUri"),
        (SCALED | {"autoscaling": {"kind": "hpa", "minReplicas": 30}}, "more than autoscaling.maxReplicas"),
        (SCALED | {"api": {"enabled": True}, "secrets": SCALED["secrets"] | {"apiKey": ""}}, "secrets.apiKey"),
        (SCALED | {"migrationJob": {"enabled": True}}, "needs a database server and secrets.existingSecret"),
        ({"settings": {"RABBITMQ_URI": "amqp://h/"}}, "settings.RABBITMQ_URI"),
        ({"settings": {"worker_concurrency": 1}}, "worker_concurrency"),
        ({"database": {"kind": "oracle"}}, "kind"),
        ({"replicas": 2}, "replicas"),
        ({"settings": {"RABBITMQ_URI_FILE": "/run/uri"}}, "settings.RABBITMQ_URI_FILE"),
        ({"egressAllow": ["example.com"]}, "egressAllow"),
        ({"history": {"separateDatabase": True}}, "needs secrets.historyDatabaseUri"),
        (PRODUCTION | {"secrets": {"existingSecret": "s", "historyDatabaseUri": "mysql://h/d"}}, "into that Secret"),
        (
            {"api": {"enabled": True, "instanceTokens": True}, "secrets": {"apiKey": "k"}},
            "needs secrets.instanceTokensUri",
        ),
        ({"secrets": {"existingSecret": "s", "instanceTokensUri": "mysql://h/d"}}, "and api.instanceTokens: true"),
        ({"secrets": {"instanceTokensUri": "mysql://h/d"}}, "callers: api.enabled"),
        ({"secrets": {"instanceTokensUri": "sqlite:///evolution.db"}}, "instanceTokensUri"),
        ({"order": {"enabled": True}, "settings": {"RABBITMQ_SOURCE": "queues"}}, "one kind of event each"),
        ({"historyWriter": {"enabled": True}}, "with SQLite, which is for one pod"),
        (SCALED | {"history": {"keep": "off"}, "historyWriter": {"enabled": True}}, "there is nothing to write"),
        (SCALED | {"historyWriter": {"resources": {"limits": {"memory": "1Mi"}}}}, "historyWriter.resources"),
        ({"secrets": {"opsWebhookSecret": "whsec_x"}}, "secrets.opsWebhookUrl, which is empty"),
        ({"secrets": {"historyDatabaseUri": "sqlite:///history.db"}}, "historyDatabaseUri"),
        ({"history": {"days": 0}}, "/history/days"),
        ({"archive": {"hours": 0}}, "/archive/hours"),
        ({"archive": {"hours": 8761}}, "/archive/hours"),
        ({"archive": {"maxBytes": "5 G"}}, "/archive/maxBytes"),
        ({"archive": {"maxBytes": "512KiB"}}, "/archive/maxBytes"),
        ({"archive": {"keep": True}}, "keep"),
        ({"settings": {"ARCHIVE": "false"}}, "settings.ARCHIVE: has a value of its own"),
        (REPLAYS | {"archive": {"enabled": False}}, "sends from the archive: archive.enabled"),
        (REPLAYS | {"history": {"keep": "failures"}}, "needs all of the history"),
        ({"settings": REPLAYS["settings"] | {"HISTORY": "off"}}, "needs all of the history"),
        (
            {"settings": REPLAYS["settings"] | {"WEBHOOK_SOURCE": "evolution"}, **EVOLUTIONS},
            "needs settings.WEBHOOK_SOURCE: own",
        ),
        ({"networkPolicy": {"historyDatabase": {"to": [{}]}}}, "/networkPolicy/historyDatabase/to/0"),
        (
            SCALED | {"settings": {"HISTORY_WRITER": "false"}, "historyWriter": {"enabled": True}},
            "HISTORY_WRITER is there twice",
        ),
        (
            {
                "settings": {"WEBHOOK_SOURCE": "file"},
                "webhookFile": {"content": "x"},
                "history": {"keep": "all"},
            },
            "has no database of its own with settings.WEBHOOK_SOURCE file",
        ),
        (
            {
                "settings": {"WEBHOOK_SOURCE": "file"},
                "webhookFile": {"content": "x"},
                "historyWriter": {"enabled": True},
            },
            "there is nothing to write",
        ),
    ],
)
def test_it_refuses_what_would_not_work(values: Values, words: str) -> None:
    with pytest.raises(helm_python.HelmError, match=words):
        render(values)


FILE: Values = {"settings": {"WEBHOOK_SOURCE": "file"}}
CA = {"name": "ca", "configMap": {"name": "company-ca"}}
MOUNT = {"name": "ca", "mountPath": "/etc/ca"}
INIT: Values = {"name": "first", "image": "busybox:1"}


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"api": {"enabled": True, "port": 9464}, "secrets": {"apiKey": "k"}}, "both 9464: a pod needs two ports"),
        ({"egressAllow": ["10.1.2.3/8"]}, "10.1.2.3/8 has bits beyond its prefix of 8"),
        ({"egressAllow": ["fd00::1/64"]}, "fd00::1/64 has bits beyond its prefix of 64"),
        ({"egressAllow": ["010.0.0.0/8"]}, "010.0.0.0/8 is no address and no network"),
        ({"egressAllow": ["10.0.0.0/08"]}, "10.0.0.0/08 is no address and no network"),
        ({"egressAllow": ["10.0.0.0/33"]}, "is no address and no network"),
        ({"egressAllow": ["1:2:3:4:5:6:7:8:9"]}, "is no address and no network"),
        ({"egressAllow": ["::ffff:10.0.0.1"]}, "is no address and no network"),
        ({"egressAllow": ["::ffff:a00:0/104"]}, "IPv4 address written as IPv6"),
        ({"networkPolicy": {"dns": [{"ipBlock": {"cidr": "10.0.0.1/8"}}]}}, "networkPolicy.dns: 10.0.0.1/8 has bits"),
        ({"networkPolicy": {"dns": [{"ipBlock": {"cidr": "10.0.0.1"}}]}}, "/networkPolicy/dns/0"),
        (
            {"networkPolicy": {"apiFrom": [{"ipBlock": {"cidr": "10.0.0.0/8", "except": ["11.0.0.0/16"]}}]}},
            "except 11.0.0.0/16 is not a part of 10.0.0.0/8",
        ),
        ({"networkPolicy": {"broker": {"to": [{}]}}}, "/networkPolicy/broker/to/0"),
        ({"networkPolicy": {"broker": {"ports": []}}}, "/networkPolicy/broker/ports"),
        ({"podLabels": {"app.kubernetes.io/name": "x"}}, "podLabels: app.kubernetes.io/name is set by the chart"),
        ({"podLabels": {"app.kubernetes.io/component": "x"}}, "component is set by the chart"),
        ({"podLabels": {"a": "x" * 64}}, "/podLabels/a"),
        ({"podLabels": {"a/b/c": "x"}}, "a/b/c"),
        ({"podAnnotations": {"checksum/secret": "x"}}, "checksum/secret is set by the chart"),
        ({"dashboard": {"enabled": True, "labels": {"helm.sh/chart": "x"}}}, "helm.sh/chart is set by the chart"),
        ({"resources": {"requests": {"memory": "2Gi"}}}, "requests.memory .2Gi. is more than limits.memory .1Gi."),
        ({"resources": {"limits": {"cpu": "400m"}}}, "requests.cpu .500m. is more than limits.cpu .400m."),
        ({"resources": {"requests": {"memory": "256MB"}}}, "/resources/requests/memory"),
        (PRODUCTION | {"resources": {"requests": {"cpu": None}}}, "resources.requests.cpu, which is missing"),
        ({"podDisruptionBudget": {"maxUnavailable": "101%"}}, "/podDisruptionBudget/maxUnavailable"),
        ({"metricsPort": 65536}, "/metricsPort"),
        ({"metricsPort": None}, "missing property 'metricsPort'"),
        ({"image": {"tag": "a b"}}, "/image/tag"),
        ({"image": {"repository": "Registry/UPPER"}}, "/image/repository"),
        ({"database": {"persistence": {"size": "0Gi"}}}, "/database/persistence/size"),
        ({"tolerations": [{"operator": "Exists", "value": "x"}]}, "/tolerations/0"),
        ({"tolerations": [{"key": "a", "tolerationSeconds": 5}]}, "/tolerations/0"),
        ({"affinity": {"nodeAffinty": {}}}, "nodeAffinty"),
        ({"serviceAccount": {"name": "A b"}}, "/serviceAccount/name"),
        ({"extraEnv": [{"name": "A", "value": "1"}, {"name": "A", "value": "2"}]}, "A is there twice"),
        ({"extraEnv": [{"name": "a b", "value": "1"}]}, "/extraEnv/0"),
        ({"extraEnv": [{"name": "METRICS_PORT", "value": "1"}]}, "extraEnv.METRICS_PORT: has a value of its own"),
        ({"extraEnv": [{"name": "WEBHOOK_SOURCE", "value": "file"}]}, "write settings.WEBHOOK_SOURCE"),
        ({"extraVolumes": [CA, CA]}, "extraVolumes: ca is there twice"),
        ({"extraVolumes": [CA | {"name": "tmp"}]}, "extraVolumes: tmp is there twice"),
        ({"extraVolumes": [CA | {"secret": {"secretName": "x"}}]}, "/extraVolumes/0"),
        ({"extraVolumeMounts": [MOUNT]}, "extraVolumeMounts: there is no volume ca"),
        ({"extraVolumes": [CA], "extraVolumeMounts": [MOUNT | {"mountPath": "/tmp"}]}, "/tmp is there twice"),
        ({"initContainers": [INIT | {"name": "worker"}]}, "initContainers: worker is there twice"),
        (
            {"initContainers": [INIT | {"volumeMounts": [MOUNT]}]},
            "initContainers.first.volumeMounts: there is no volume",
        ),
        (FILE, "the pods have no file"),
        ({"settings": FILE["settings"] | {"WEBHOOK_FILE": "/data/webhooks.toml"}}, "the pods have no file"),
        (FILE | {"webhookFile": {"content": "x", "existingSecret": "y"}}, "one of content, existingSecret"),
        ({"webhookFile": {"content": "x"}}, "settings.WEBHOOK_SOURCE: file or evolution only"),
        (
            {
                "settings": FILE["settings"] | {"WEBHOOK_FILE": "/etc/ca/f"},
                "webhookFile": {"content": "x"},
                "extraVolumes": [CA],
                "extraVolumeMounts": [MOUNT],
            },
            "settings.WEBHOOK_FILE: webhookFile has its path",
        ),
        ({"settings": {"WEBHOOK_SOURCE": "redis"}}, "own, evolution or file"),
        ({"settings": {"WEBHOOK_SOURCE": "Evolution"}}, "set database.kind to that of Evolution's database"),
    ],
)
def test_it_refuses_what_a_server_would_refuse_or_a_pod_would_fail_by(values: Values, words: str) -> None:
    with pytest.raises(helm_python.HelmError, match=words):
        render(values)
