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
def test_probes_ask_what_answers_and_name_a_trusted_host(app, client):
    [container] = by_kind("Deployment")["delivery-web"]["template"]["spec"]["containers"]
    [values] = [each["data"] for _, each in OBJECTS if each["kind"] == "ConfigMap"]
    paths = {name: container[name]["httpGet"]["path"] for name in ("startupProbe", "livenessProbe", "readinessProbe")}
    assert paths == {"startupProbe": "/healthz", "livenessProbe": "/healthz", "readinessProbe": "/readyz"}
    for name, path in paths.items():
        assert client.get(path).status_code in {200, 503}
        [header] = container[name]["httpGet"]["httpHeaders"]
        assert header == {"name": "Host", "value": values["TRUSTED_HOSTS"]}


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
