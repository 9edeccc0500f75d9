"""A schema of another level than the code: what would work wrongly does not begin, and says so in one line."""

import os

import pytest

from delivery import jobs
from delivery.app import create_app
from delivery.ops import cron, schema, worker
from tests.commands import run
from tests.conftest import close, settings
from tests.ops.test_health import revision, set_revision, two_revisions  # noqa: F401  fixtures

LINE = "Error: the schema is older than this code: run `flask db upgrade` first.\n"


@pytest.mark.parametrize("command", ["worker", "cron"])
def test_behind_the_code_nothing_begins(app, two_revisions, command):  # noqa: F811
    set_revision(app, "old1")
    result = run(app, command)
    assert (result.exit_code, result.stderr) == (os.EX_TEMPFAIL, LINE)


@pytest.mark.parametrize("command", ["worker", "cron"])
def test_without_tables_nothing_begins(tmp_path, redis_server, command):
    app = create_app(settings(tmp_path, REDIS_URL=redis_server.url))
    result = run(app, command)
    close(app)
    assert (result.exit_code, result.stderr) == (os.EX_TEMPFAIL, LINE)


@pytest.mark.parametrize("command", ["worker", "cron"])
def test_ahead_of_the_code_or_without_a_database_they_begin(app, two_revisions, command, monkeypatch):  # noqa: F811
    began = []
    monkeypatch.setattr(cron, "run", lambda: began.append(1))
    monkeypatch.setattr(worker._Team, "run", lambda _team: began.append(1))
    monkeypatch.setattr(worker.signal, "signal", lambda *_: None)
    monkeypatch.setattr(jobs, "request_stop", lambda *_: None)
    set_revision(app, "from_the_future")
    assert run(app, command).exit_code == 0
    monkeypatch.setattr(schema, "database_status", lambda: "database_down")
    assert run(app, command).exit_code == 0
    assert len(began) == 2


def test_the_doctor_says_that_a_later_release_was_here(app, revision):  # noqa: F811
    set_revision(app, "from_the_future")
    assert "from_the_future is of a later release" in run(app, "doctor").stdout


def test_after_a_rollback_of_the_code_an_upgrade_leaves_the_schema_as_it_is(app, revision):  # noqa: F811
    set_revision(app, "from_the_future")
    result = run(app, "db", "upgrade")
    assert result.exit_code == 0
    assert result.stderr.startswith("The schema is of a later release (from_the_future)")
    schema.upgrade(app)
    assert "from_the_future is of a later release" in run(app, "doctor").stdout


def test_an_upgrade_of_a_database_that_is_not_there_is_one_line(tmp_path):
    app = create_app(settings(tmp_path, DATABASE_URL="postgresql+psycopg://me:hidden@127.0.0.1:1/none"))
    result = run(app, "db", "upgrade")
    close(app)
    assert (result.exit_code, result.stderr.count("\n")) == (1, 1)
    assert result.stderr.startswith("Error: the database cannot be used: connection failed")
    assert "hidden" not in result.stderr
