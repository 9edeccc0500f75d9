"""deploy/monitoring: what it asks for is told, what it calls people for is explained."""

import json
import re
import time
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from delivery.database import db, now
from delivery.notifications import jobs
from delivery.notifications.models import Breaker
from delivery.replica import Replica
from tests.notifications.conftest import Outbox, on_sqlite, put
from tests.ops.test_metrics import BEARER

FOLDER = Path("deploy/monitoring")
ALERTS = (FOLDER / "alerts.yml").read_text()
TESTS = (FOLDER / "alerts.test.yml").read_text()
RUNBOOK = Path("docs/operations.md").read_text()
PAGE = Path("docs/metrics.md").read_text()
DASHBOARD = json.loads((FOLDER / "grafana-dashboard.json").read_text())

NAMES = re.findall(r"^ +- alert: (\w+)$", ALERTS, re.MULTILINE)
RECORDS = re.findall(r"^ +- record: (\S+)$", ALERTS, re.MULTILINE)
METRIC, LABELLED = r"\bdelivery_[a-z0-9_]+", r"\b(delivery_[a-z0-9_]+)\{([^}]*)\}"


def expressions(panel):
    return [target["expr"] for target in panel.get("targets", [])]


ASKED = [*(one for panel in DASHBOARD["panels"] for one in expressions(panel)), re.sub(r"(?m)^\s*#.*", "", ALERTS)]


@pytest.fixture
def told(app):
    """{name: labels} of a scrape in which every metric has something to tell."""
    with app.app_context():
        outbox = Outbox(app)
        outbox.add_many(1)
        jobs.deliver("mail", seconds=20)
        put(outbox, "dead")
        with db.engine.begin() as connection:
            row = {"key": "mail:smtp", "failures": 1, "paused_until": now(), "changed_at": now()}
            connection.execute(Breaker.__table__.insert().values(row))
        seen = {"current_at": time.monotonic(), "looked_at": time.monotonic()}
        app.extensions["delivery.replica"] = Replica(db.engine, max_lag_seconds=60, **seen)
    app.test_client().get("/healthz")
    text = app.test_client().get("/metrics", headers=BEARER).text
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    return {sample.name: set(sample.labels) for sample in samples}


@on_sqlite
def test_every_metric_that_is_asked_for_is_told(told):
    asked = {name for text in ASKED for name in re.findall(METRIC, text)}
    assert len(asked) > 15
    assert asked - told.keys() == set()


@on_sqlite
def test_every_label_that_is_asked_for_is_told(told):
    for text in ASKED:
        for name, matchers in re.findall(LABELLED, text):
            labels = set(re.findall(r"(\w+)(?:=|!=|=~|!~)\"", matchers))
            assert labels - told[name] <= {"job", "instance"}, name


@on_sqlite
def test_every_metric_stands_on_the_page_with_its_labels_and_no_other_does(told):
    kinds = {re.sub("_(bucket|sum|count|gsum|gcount|created)$", "", name): labels for name, labels in told.items()}
    table = [line for line in PAGE.splitlines() if line.startswith("| `")]
    page = {
        name: {label for label in labels.split(",") if label}
        for line in table
        for name, labels in re.findall(r"`(delivery_[a-z0-9_]+)(?:\{([a-z,]+)\})?`", line.split(" | ")[0])
    }
    assert page == {name: labels - {"le"} for name, labels in kinds.items()}


def test_every_record_that_is_asked_for_exists():
    asked = {name for text in ASKED for name in re.findall(r"\bdelivery:[a-z0-9_:]+", text)}
    assert asked == set(RECORDS)


def test_every_alert_leads_to_a_section_of_the_runbook_and_no_section_is_left_over():
    sections = re.findall(r"^### (\w+)$", RUNBOOK, re.MULTILINE)
    assert sorted(sections) == sorted(NAMES)
    runbooks = re.findall(r"runbook: (\S+)", ALERTS)
    assert runbooks == [f"docs/operations.md#{name.lower()}" for name in NAMES]


def test_every_section_says_what_it_means_what_to_look_at_what_to_type_and_when_it_is_over():
    severities = dict(re.findall(r"- alert: (\w+)$.*?severity: (\w+)", ALERTS, re.MULTILINE | re.DOTALL))
    for name, severity in severities.items():
        section = re.split(r"^##+ ", RUNBOOK.partition(f"### {name}\n")[2], flags=re.MULTILINE)[0]
        assert f"**Means** ({severity}):" in section, name
        assert re.findall(r"^\*\*(\w+)\*\*", section, re.MULTILINE) == ["Means", "Look", "Type", "Over"], name


def test_every_alert_is_tested_to_call_and_to_keep_silent():
    """promtool runs them, see scripts/lint."""
    cases = re.findall(r"alertname: (\w+)\n +exp_alerts:( \[\])?", TESTS)
    called = {name for name, silent in cases if not silent}
    assert called == set(NAMES)
    at_once = {"MessagesAreUncertain", "JobsFail"}  # the case without them is in that of the alert beside them
    assert {name for name, silent in cases if silent} >= called - at_once


def test_the_dashboard_asks_the_chosen_source_alone():
    panels = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
    assert {panel["datasource"]["uid"] for panel in panels} == {"${datasource}"}
    assert [one["type"] for one in DASHBOARD["templating"]["list"]] == ["datasource", "query"]
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
    assert all('job="$job"' in one for panel in panels for one in expressions(panel))


def test_every_command_of_the_runbook_is_one_that_flask_takes(app):
    words = re.findall(r"`flask ([a-z-]+)((?: [a-z-]+)*)", RUNBOOK)
    assert len(words) > 10
    for first, rest in words:
        command = app.cli.commands[first]
        for word in rest.split():
            if hasattr(command, "commands"):
                command = command.commands[word]


def test_panels_do_not_lie_on_one_another():
    taken = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not taken & cells, panel["title"]
        assert place["x"] + place["w"] <= 24
        taken |= cells
