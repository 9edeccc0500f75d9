"""deploy/kubernetes: valid against Kubernetes' own schemas, hardened, and true about our commands and settings."""

from pathlib import Path

import kubernetes_validate
import pytest
import yaml

from config import SETTINGS, Config
from tests.commands import run
from tests.notifications.conftest import on_sqlite
from tests.ops.test_metrics import scraped

FOLDER = Path(__file__).parents[2] / "deploy" / "kubernetes"
OBJECTS = [(path.name, each) for path in sorted(FOLDER.glob("*.yaml")) for each in yaml.safe_load_all(path.read_text())]
RUNNING = [each for _, each in OBJECTS if each["kind"] in {"Deployment", "Job"}]
VERSIONS = ("1.29", kubernetes_validate.latest_version())


def by_kind(kind):
    return {each["metadata"]["name"]: each["spec"] for _, each in OBJECTS if each["kind"] == kind}


def named(objects):
    return [f"{each['kind']}/{each['metadata']['name']}" for each in objects]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("manifest", [each for _, each in OBJECTS], ids=named([each for _, each in OBJECTS]))
def test_every_object_is_valid(manifest, version):
    kubernetes_validate.validate(manifest, version, strict=True)


@pytest.mark.parametrize("workload", RUNNING, ids=named(RUNNING))
def test_every_container_may_do_little(workload):
    pod = workload["spec"]["template"]["spec"]
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    for container in pod["containers"]:
        may = container["securityContext"]
        assert may["readOnlyRootFilesystem"] is True
        assert may["allowPrivilegeEscalation"] is False
        assert may["capabilities"] == {"drop": ["ALL"]}
        assert container["resources"]["requests"].keys() == {"cpu", "memory"}
        assert "memory" in container["resources"]["limits"]


@on_sqlite
@pytest.mark.parametrize("workload", RUNNING, ids=named(RUNNING))
def test_every_command_exists(make_app, workload):
    [container] = workload["spec"]["template"]["spec"]["containers"]
    program, *words = container["args"]
    assert program in {"gunicorn", "flask"}
    assert not words or run(make_app(), *words, "--help").exit_code == 0


def test_every_setting_is_one():
    [values] = [each["data"] for _, each in OBJECTS if each["kind"] == "ConfigMap"]
    [secrets] = [each["stringData"] for _, each in OBJECTS if each["kind"] == "Secret"]
    assert not values.keys() & secrets.keys()
    given = values | {
        name: text.replace("CHANGE-ME", f"x7Qk-{n}-vB9_tR4w") for n, (name, text) in enumerate(secrets.items())
    }
    assert not given.keys() - SETTINGS.keys()
    Config(given)


@on_sqlite
def test_probes_ask_what_answers_by_the_address_of_the_pod(client):
    [container] = by_kind("Deployment")["delivery-web"]["template"]["spec"]["containers"]
    asked = {name: container[name]["httpGet"] for name in ("startupProbe", "livenessProbe", "readinessProbe")}
    paths = {name: each["path"] for name, each in asked.items()}
    assert paths == {"startupProbe": "/healthz", "livenessProbe": "/healthz", "readinessProbe": "/readyz"}
    for each in asked.values():
        assert each.keys() == {"path", "port"}
        assert client.get(each["path"], headers={"Host": "10.42.0.17:8000"}).status_code in {200, 503}


def is_public(path):
    """Whether the ingress lets a path through, as Kubernetes defines its two types."""
    [rule] = by_kind("Ingress")["delivery"]["rules"]
    return any(
        path == each["path"] or (each["pathType"] == "Prefix" and path.startswith(f"{each['path']}/"))
        for each in rule["http"]["paths"]
    )


@on_sqlite
def test_all_that_is_for_the_public_gets_through_the_ingress(app):
    inside = {rule.rule for rule in app.url_map.iter_rules() if not is_public(rule.rule)}
    assert inside == {"/metrics", "/static/<path:filename>"}  # of the second there is nothing


@pytest.mark.parametrize("path", ["/metrics", "/metrics/", "//metrics", "/%6detrics", "/METRICS", "/./metrics", "/"])
def test_metrics_do_not_get_through_the_ingress(path):
    assert not is_public(path)


def test_prometheus_finds_every_pod_by_a_name_that_stands_for_all_of_them():
    service, pods = by_kind("Service")["delivery-web-pods"], by_kind("Deployment")["delivery-web"]
    assert (service["clusterIP"], service["publishNotReadyAddresses"]) == ("None", True)
    assert service["selector"] == pods["selector"]["matchLabels"]
    [job] = yaml.safe_load(Path("deploy/monitoring/prometheus.yml").read_text())["scrape_configs"]
    [found] = job["dns_sd_configs"]
    [container] = pods["template"]["spec"]["containers"]
    assert found["type"] == "A"
    assert [found["port"]] == [each["containerPort"] for each in container["ports"]]


def test_whatever_serves_or_sends_has_a_budget_for_disruptions():
    labels = {name: spec["selector"]["matchLabels"] for name, spec in by_kind("Deployment").items()}
    assert {name: spec["selector"]["matchLabels"] for name, spec in by_kind("PodDisruptionBudget").items()} == labels


@on_sqlite
def test_workers_are_scaled_by_the_age_of_what_waits(app):
    [metric] = by_kind("HorizontalPodAutoscaler")["delivery-worker"]["metrics"]
    assert metric["external"]["metric"]["name"].removeprefix("delivery_") in {name for name, *_ in scraped(app)}


def test_there_is_time_to_end_in_peace():
    from delivery.ops.worker import STOP_SECONDS  # noqa: PLC0415  beside what it is compared with

    grace = {
        name: spec["template"]["spec"]["terminationGracePeriodSeconds"] for name, spec in by_kind("Deployment").items()
    }
    assert grace["delivery-worker"] > STOP_SECONDS
    [web] = by_kind("Deployment")["delivery-web"]["template"]["spec"]["containers"]
    pause = int(web["lifecycle"]["preStop"]["exec"]["command"][1])
    assert grace["delivery-web"] > pause + 8
