"""The chart before an API server's rules: it renders what a server takes, or refuses values in words of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from copy import deepcopy
from typing import Any

import helm_python
import pytest
import yaml
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.deploy.chart import (
    CHART,
    NEWEST,
    PRODUCTION,
    SCALED,
    SETS,
    Manifest,
    Values,
    manifests_of,
    of,
    pods,
    render,
    validate,
)
from tests.deploy.drawn_values import merged, overlay
from tests.deploy.rules.server import violations

# Without the alerts and the dashboard, which are long and the same for all values.
BASES = [{}, PRODUCTION | {"prometheusRule": {}, "dashboard": {}}, SCALED]
REFUSED = "refused"
EXAMPLES = 60
PHASES = [phase for phase in Phase if phase is not Phase.shrink]
"""The values that fail are small, and shrinking them takes minutes."""


def outcome(values: Values, name: str = "demo") -> list[Manifest] | str:
    """The manifests, after every check of a server, or REFUSED when the schema or the chart's own `fail` said no."""
    try:
        manifests = render(values, name)
    except helm_python.HelmValuesError:
        return REFUSED
    except helm_python.HelmRenderError as error:
        if str(error).startswith("execution error at "):  # `fail` of a template; anything else is a fault of ours
            return REFUSED
        raise
    for manifest in manifests:
        validate(manifest, NEWEST)
    assert violations(manifests) == []
    return manifests


@pytest.mark.parametrize("values", SETS.values(), ids=SETS)
def test_a_server_takes_every_set(values: Values) -> None:
    assert outcome(values) != REFUSED


def test_values_that_the_schema_accepts_are_rendered_for_a_server_or_refused_in_words() -> None:
    rendered = []

    @settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck), phases=PHASES)
    @given(st.sampled_from(BASES), overlay())
    def drawn(base: Values, above: Values) -> None:
        rendered.append(outcome(merged(base, above)) != REFUSED)

    drawn()
    # Or it would have said nothing. Refused are nulls, SQLite for several pods, networks with bits beyond the prefix.
    assert rendered.count(True) >= len(rendered) / 4


def leaves(values: Values, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for name, value in values.items():
        yield (*path, name)
        if isinstance(value, dict):
            yield from leaves(value, (*path, name))


TRICKY = st.text(st.sampled_from("\n \t-:#'\"a|>{}[]&*!%@`,?\r\x01é😀0.~"), max_size=12)


@settings(max_examples=20, deadline=None, phases=PHASES)
@given(TRICKY, TRICKY)
def test_text_reaches_its_pod_as_it_was_written(one: str, other: str) -> None:
    values = {
        "settings": {"WEBHOOK_SOURCE": "file", "ONE": one},
        "webhookFile": {"content": f"#{other}{one}"},
        "podAnnotations": {"other": other},
        "extraEnv": [{"name": "OTHER", "value": other}],
    }
    manifests = outcome(values)
    if manifests == REFUSED:
        assert "\x01" in other
        return
    template = of(manifests, "Deployment")["spec"]["template"]
    env = {entry["name"]: entry.get("value") for entry in template["spec"]["containers"][0]["env"]}
    assert (env["ONE"], env["OTHER"], template["metadata"]["annotations"]["other"]) == (one, other, other)
    assert of(manifests, "Secret", "-file")["stringData"] == {"webhooks.toml": f"#{other}{one}"}


DEFAULTS = yaml.safe_load((CHART / "values.yaml").read_text())


@pytest.mark.parametrize("path", [*leaves(DEFAULTS)], ids=".".join)
def test_a_default_that_null_takes_away_leaves_what_a_server_takes(path: tuple[str, ...]) -> None:
    above: Any = None
    for name in reversed(path):
        above = {name: above}
    for base in BASES[1:]:
        outcome(merged(base, above))


@pytest.mark.parametrize(
    "name", ["web.hooks", "123", "true", "null", "1e3", "a" * 53, f"{'a' * 48}--b", "webhook-worker"]
)
def test_every_release_name_that_helm_takes_makes_names_that_a_server_takes(name: str) -> None:
    taken = outcome(PRODUCTION, name)
    assert (taken == REFUSED) == name[0].isdigit()


# The rules themselves: each finds what it is there for.

Spoil = Callable[[list[Manifest]], Any]


def container(manifests: list[Manifest]) -> dict[str, Any]:
    return pods(manifests)[0]["containers"][0]


def policy(manifests: list[Manifest]) -> dict[str, Any]:
    return of(manifests, "NetworkPolicy")["spec"]


def block(cidr: str, *excepted: str) -> dict[str, Any]:
    return {"to": [{"ipBlock": {"cidr": cidr, "except": list(excepted)}}]}


SPOILED: dict[str, tuple[Spoil, str]] = {
    "two ports alike": (lambda m: container(m)["ports"].append({"name": "x", "containerPort": 9464}), "9464.* 2 times"),
    "port 0": (lambda m: container(m)["ports"].append({"name": "x", "containerPort": 0}), "port 0"),
    "a variable twice": (lambda m: container(m)["env"].append(container(m)["env"][0]), "RABBITMQ_URI is there 2 times"),
    "a variable's name": (lambda m: container(m)["env"].append({"name": "a b", "value": ""}), "'a b'"),
    "a mount of nothing": (lambda m: container(m)["volumeMounts"].append({"name": "x", "mountPath": "/x"}), "volume x"),
    "a path twice": (lambda m: container(m)["volumeMounts"].append({"name": "tmp", "mountPath": "/tmp"}), "/tmp"),
    "a probe of nothing": (lambda m: container(m)["ports"].clear(), "livenessProbe asks a port"),
    "an image": (lambda m: container(m).update(image="a b"), "image 'a b'"),
    "more than the limit": (
        lambda m: container(m)["resources"].update(requests={"memory": "2Gi"}),
        "requests.memory is more",
    ),
    "no quantity": (lambda m: container(m)["resources"].update(requests={"cpu": "1 core"}), "requests.cpu is no"),
    "user 0": (lambda m: container(m).update(securityContext={"runAsUser": 0}), "runAsUser 0"),
    "a selector": (lambda m: pods_labels(m).update({"app.kubernetes.io/name": "x"}), "selector does not match"),
    "a label": (lambda m: pods_labels(m).update({"a/b/c": "x"}), "label 'a/b/c'"),
    "a label's value": (lambda m: pods_labels(m).update(a="x" * 64), "label's value"),
    "host bits": (lambda m: policy(m)["egress"].append(block("10.0.0.1/8")), "10.0.0.1/8 is no network"),
    "leading zeros": (lambda m: policy(m)["egress"].append(block("010.0.0.0/8")), "010.0.0.0/8 is no network"),
    "mapped": (lambda m: policy(m)["egress"].append(block("::ffff:0:0/96")), "::ffff:0:0/96 is no network"),
    "not within": (lambda m: policy(m)["egress"].append(block("10.0.0.0/8", "11.0.0.0/16")), "is not within"),
    "an empty peer": (lambda m: policy(m)["egress"].append({"to": [{}]}), "a peer is"),
    "no metric": (lambda m: of(m, "HorizontalPodAutoscaler")["spec"].update(metrics=[]), "a metric has no target"),
    "both budgets": (
        lambda m: of(m, "PodDisruptionBudget", "-api")["spec"].update(minAvailable=1),
        "one of minAvailable",
    ),
    "a share": (lambda m: of(m, "PodDisruptionBudget", "-api")["spec"].update(maxUnavailable="101%"), "101%"),
    "a toleration": (lambda m: pods(m)[0]["tolerations"].append({"operator": "Exists", "value": "x"}), "with Exists"),
    "a service's name": (lambda m: of(m, "Service", "-api")["metadata"].update(name="a.b"), "name 'a.b'"),
    "a service of nothing": (lambda m: of(m, "Service", "-api")["spec"]["selector"].update(a="b"), "selects no pod"),
    "a name twice": (lambda m: m.append(of(m, "HorizontalPodAutoscaler")), "is there 2 times"),
}


def pods_labels(manifests: list[Manifest]) -> dict[str, str]:
    labels: dict[str, str] = of(manifests, "Deployment", "-worker")["spec"]["template"]["metadata"]["labels"]
    return labels


@pytest.fixture(scope="module")
def production() -> list[Manifest]:
    return render(PRODUCTION)


@pytest.mark.parametrize(("spoil", "words"), SPOILED.values(), ids=SPOILED)
def test_each_rule_finds_what_it_is_there_for(production: list[Manifest], spoil: Spoil, words: str) -> None:
    spoiled = deepcopy(production)
    spoil(spoiled)
    with pytest.raises(AssertionError, match=words):
        assert "\n".join(violations(spoiled)) == ""


def test_a_key_that_is_there_twice_is_no_manifest() -> None:
    with pytest.raises(yaml.YAMLError, match="a key is there twice"):
        manifests_of(["labels: {a: b, a: c}"])
