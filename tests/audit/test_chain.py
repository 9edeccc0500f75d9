"""The audit log: written with what it tells of, in one chain, and nobody rewrites it unseen."""

import pytest
from sqlalchemy import insert, text
from sqlalchemy.exc import DBAPIError

from delivery.audit import services
from delivery.audit.models import AuditEntry
from delivery.database import db, transaction
from tests.commands import run, run_json
from tests.web.racing import race


def write(app, *acts):
    with app.app_context(), transaction():
        for act in acts:
            services.record(act, count=1)


def verdict(app):
    with app.app_context():
        return services.verify()


def lift_the_guard(app):
    """Drop the triggers, as somebody could who owns the database."""
    with app.app_context(), db.engine.begin() as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(text("ALTER TABLE audit_entries DISABLE TRIGGER audit_entries_append_only"))
        else:
            for verb in ("update", "delete"):
                connection.execute(text(f"DROP TRIGGER audit_entries_no_{verb}"))


@pytest.fixture
def guard_lifted(app):
    lift_the_guard(app)
    yield
    with app.app_context(), db.engine.begin() as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(text("ALTER TABLE audit_entries ENABLE TRIGGER audit_entries_append_only"))


def by_hand(app, statement):
    with app.app_context(), db.engine.begin() as connection:
        connection.execute(text(statement))


def test_entries_are_numbered_and_chained(app):
    write(app, "a.done", "b.done")
    write(app, "c.done")
    found = verdict(app)
    assert (found.entries, found.broken_at) == (3, None)
    assert found.head.startswith("3:")


def test_what_was_rolled_back_left_no_entry(app):
    def fail():
        with app.app_context(), transaction():
            services.record("a.done")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert verdict(app).entries == 0


def test_writers_at_once_make_one_chain(app):
    race(*[lambda: [write(app, "a.done", "b.done") for _ in range(10)] for _ in range(6)])
    assert (verdict(app).entries, verdict(app).broken_at) == (120, None)


@pytest.mark.parametrize("statement", ["UPDATE audit_entries SET act = 'x'", "DELETE FROM audit_entries"])
def test_the_database_refuses_to_rewrite_it(app, statement):
    write(app, "a.done")
    with pytest.raises(DBAPIError):
        by_hand(app, statement)
    assert verdict(app).entries == 1


TAMPERINGS = {
    "an act": "UPDATE audit_entries SET act = 'b.done' WHERE seq = 2",
    "an object": "UPDATE audit_entries SET object_type = 'user' WHERE seq = 2",
    "a time": "UPDATE audit_entries SET at = '2020-01-01 00:00:00' WHERE seq = 2",
    "a detail": "UPDATE audit_entries SET details = '{\"count\": 2}' WHERE seq = 2",
}


@pytest.mark.usefixtures("guard_lifted")
@pytest.mark.parametrize("what", TAMPERINGS)
def test_a_change_shows(app, what):
    write(app, "a.done", "a.done", "a.done")
    by_hand(app, TAMPERINGS[what])
    assert verdict(app).broken_at == 2
    shown = run(app, "audit", "verify")
    assert (shown.exit_code, "Entry 2 was changed" in shown.stdout) == (1, True)


@pytest.mark.usefixtures("guard_lifted")
def test_a_cut_end_shows_by_a_head_that_was_kept(app):
    write(app, "a.done", "a.done")
    kept = run_json(app, "audit", "verify")["head"]
    assert run(app, "audit", "verify", "--head", kept).exit_code == 0
    by_hand(app, "DELETE FROM audit_entries WHERE seq = 2")

    assert run(app, "audit", "verify").exit_code == 0
    assert run(app, "audit", "verify", "--head", kept).exit_code == 1


def test_nobody_can_begin_a_second_chain(app):
    write(app, "a.done", "b.done")
    with app.app_context():
        first = db.session.execute(AuditEntry.__table__.select().where(AuditEntry.seq == 1)).one()
        fork = {**first._mapping, "seq": 3, "prev_hash": first.hash, "hash": b"x" * 32}
        with pytest.raises(DBAPIError), db.engine.begin() as connection:
            connection.execute(insert(AuditEntry.__table__).values(fork))


@pytest.mark.parametrize("head", ["", "x", "1:abc", "x:" + 64 * "a", "9" * 30 + ":" + 64 * "a"])
def test_a_head_that_is_none_is_refused(app, head):
    assert run(app, "audit", "verify", "--head", head or ":").exit_code == 2


def test_commands_act_as_cli(app):
    run(app, "audit", "list")
    write(app, "a.done")
    assert [row["actor_type"] for row in run_json(app, "audit", "list", "--act", "a.*")] == ["system"]


def test_admins_read_it_in_pages_and_by_filters(app, people):
    admin = people.admin()
    write(app, "a.done", "b.done", "a.gone")
    page = admin.get("/api/audit?limit=2&act=a.*").json
    assert [one["act"] for one in page["items"]] == ["a.gone", "a.done"]
    assert page["items"][0]["seq"] == page["items"][1]["seq"] + 2
    first = admin.get("/api/audit?limit=2").json
    rest = admin.get(f"/api/audit?limit=2&cursor={first['next_cursor']}").json
    assert [one["act"] for one in first["items"] + rest["items"]] == ["a.gone", "b.done", "a.done", "user.created"]
    assert rest["next_cursor"] is None
    assert admin.get("/api/audit?since=2999-01-01T00:00:00Z").json["items"] == []
