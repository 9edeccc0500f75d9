"""The outbox in partitions: how it is split, and that what foreign keys promised holds."""

import re
from pathlib import Path

import psycopg
import pytest
import sqlalchemy as sa
from alembic.migration import MigrationContext
from alembic.operations import Operations
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError, OperationalError

from delivery.app import create_app
from delivery.database import db, new_id, transaction
from delivery.notifications import jobs
from delivery.notifications.services import resend
from delivery.notifications.states import Channel
from delivery.ops import months, outbox_partitions, partitions
from tests.commands import run
from tests.conftest import close, settings
from tests.factories import People
from tests.notifications import test_claims
from tests.notifications.conftest import Outbox, new_message, put

CREATE = ("partitions", "create", "--of", "outbox")


@pytest.fixture(params=["partitioned"])
def database_url(split_url):
    return split_url


@pytest.fixture
def unsplit(new_postgres_database, migrated, redis_server, tmp_path):
    """An app on a database of its own, whose outbox is still whole."""
    app = create_app(
        settings(tmp_path, DATABASE_URL=new_postgres_database(template=migrated), REDIS_URL=redis_server.url)
    )
    app.testing = False
    yield app
    close(app)


def execute(statement, **values):
    with transaction() as session:
        result = session.execute(text(statement), values)
        return result.scalars().all() if result.returns_rows else []


OTHER = "outbox_messages_other"
TABLES = ("outbox_messages", "outbox_attempts", "message_receipts")
DUMP = "SELECT md5(string_agg(t::text, E'\\n' ORDER BY t::text)) FROM {} t"
RECEIPT = """
INSERT INTO message_receipts (id, message_id, provider_ref, status, source, at)
VALUES (gen_random_uuid(), :id, 'ref', 'sent', 'callback', now())"""
ATTEMPT = "INSERT INTO outbox_attempts (message_id, n, started_at) VALUES (:id, 7, now())"


def dump():
    return [execute(DUMP.format(table)) for table in TABLES]


def test_nothing_is_lost_or_changed_when_it_is_split(unsplit, travel):
    with unsplit.app_context():
        outbox = Outbox(unsplit)
        outbox.add_many(3)
        jobs.deliver("mail", seconds=20)
        first = outbox.ids()[0]
        execute(RECEIPT, id=first)
        [repeat] = filter(None, _resent(first))
        lost = put(outbox, "sending")
        before = dump()
        rehearsed = run(unsplit, *CREATE, "--dry-run")
        assert rehearsed.output.startswith("5 messages would be in partitions."), rehearsed.output
        done = run(unsplit, *CREATE)
        assert done.exit_code == 0, done.output
        assert dump() == before
        assert execute("SELECT DISTINCT tableoid::regclass::text FROM outbox_messages") == [OTHER]
        jobs.deliver("mail", seconds=20)
        assert {outbox.row(one).state for one in (repeat, lost)} == {"sent"}
        assert "none" in run(unsplit, *CREATE).output


def _resent(identity):
    with transaction():
        return list(resend([identity]).values())


def test_it_is_refused_while_messages_are_being_sent(unsplit):
    with unsplit.app_context():
        Outbox(unsplit).add_many(1)
        test_claims.claim()
        refused = run(unsplit, *CREATE)
        assert refused.exit_code == 1
        assert "1 messages are being sent" in refused.output
        assert execute("SELECT relkind::text FROM pg_class WHERE relname = 'outbox_messages'") == ["r"]


def test_it_gives_way_to_somebody_who_works_for_long(unsplit, monkeypatch):
    monkeypatch.setattr(outbox_partitions, "PATIENCE_SECONDS", 0.1)
    with unsplit.app_context(), db.engine.connect() as busy:
        busy.execute(text("LOCK TABLE outbox_attempts IN ROW EXCLUSIVE MODE"))
        refused = run(unsplit, *CREATE)
    assert (refused.exit_code, refused.stderr) == (
        1,
        "Error: Somebody holds the outbox; nothing was changed. Come again when it is quiet.\n",
    )


def test_it_has_all_that_the_whole_one_has(unsplit):
    about = (
        "SELECT conname FROM pg_constraint WHERE conrelid = 'outbox_messages'::regclass AND contype IN ('c', 'f')",
        "SELECT replace(pg_get_indexdef(indexrelid), ' ON ONLY ', ' ON ') FROM pg_index"  # noqa: ISC004
        " WHERE indrelid = 'outbox_messages'::regclass AND NOT indisprimary",
    )
    with unsplit.app_context():
        before = [sorted(execute(one)) for one in about]
        assert run(unsplit, *CREATE).exit_code == 0
        after = [sorted(execute(one)) for one in about]
        assert set(before[0]) - set(after[0]) == {"fk_outbox_messages_resend_of"}
        assert before[1] == after[1]
        # What was there was adopted: nothing stands twice.
        [count] = execute("SELECT count(*) FROM pg_index WHERE indrelid = 'outbox_messages_other'::regclass")
        assert count == len(before[1]) + 1


def test_the_history_can_be_split_after_it_and_months_of_both_dropped(unsplit, travel):
    both = ("history", "outbox")
    keys = (
        "SELECT conname || pg_get_constraintdef(oid) FROM pg_constraint WHERE contype = 'f' AND conparentid = 0"
        " AND 'delivery_events'::regclass IN (conrelid, confrelid) ORDER BY 1"
    )
    with unsplit.app_context():
        before = execute(keys)
        told = People(unsplit).customer().create()
        for what in reversed(both):
            done = run(unsplit, "partitions", "create", "--of", what)
            assert done.exit_code == 0, done.output
        assert execute(keys) == before
        _is_refused("UPDATE outbox_messages SET seq = 9 WHERE delivery_id = :id", id=told["id"])
        travel(days=40)
        with transaction():
            partitions.keep_ahead(1000)
        last = "{}-{:02}".format(*months.later(months.this_month(), months.AHEAD_MONTHS))
        for what in both:
            dropped = run(unsplit, "partitions", "drop", last, "--of", what)
            assert dropped.exit_code == 0, dropped.output
        assert execute(keys) == before


def test_what_refers_to_no_message_is_refused(outbox):
    nobody = new_id()
    for statement in (ATTEMPT, RECEIPT):
        _is_refused(statement, id=nobody)
    outbox.add_many(1)
    jobs.deliver("mail", seconds=20)
    _is_refused("UPDATE outbox_messages SET resend_of = :id", id=nobody)
    _is_refused("UPDATE outbox_attempts SET message_id = :id", id=nobody)


def test_what_is_referred_to_stays_and_its_receipts_go_with_it(outbox, delivery_id):
    [tried, of_month] = outbox.add(new_message(), new_message(delivery_id=delivery_id, seq=1))
    this_month = months.name_of("outbox_messages", months.this_month())
    assert set(execute("SELECT tableoid::regclass::text FROM outbox_messages")) == {OTHER, this_month}
    for identity in (tried, of_month):
        execute(RECEIPT, id=identity)
        execute(ATTEMPT, id=identity)
    for table, identity in (("outbox_messages", tried), (OTHER, tried), (this_month, of_month)):
        _is_refused(f"DELETE FROM {table} WHERE id = :id", id=identity)
        _is_refused(f"UPDATE {table} SET id = gen_random_uuid() WHERE id = :id", id=identity)
        _is_refused(f"TRUNCATE {table}")
    [repeat] = outbox.add(new_message(resend_of=tried))
    execute("DELETE FROM outbox_attempts")
    _is_refused("DELETE FROM outbox_messages WHERE id = :id", id=tried)
    for identity in (repeat, tried, of_month):
        execute("DELETE FROM outbox_messages WHERE id = :id", id=identity)
    assert execute("SELECT count(*) FROM message_receipts") == [0]


def _is_refused(statement, **values):
    with pytest.raises(IntegrityError) as caught:
        execute(statement, **values)
    assert isinstance(caught.value.orig, psycopg.errors.ForeignKeyViolation), statement


def test_who_deletes_a_message_and_who_tries_it_at_that_moment_do_not_miss_each_other(outbox):
    [identity] = outbox.add_many(1)
    with db.engine.connect() as one, db.engine.connect() as other:
        one.execute(text(ATTEMPT), {"id": identity})
        other.execute(text("SET lock_timeout = '100ms'"))
        with pytest.raises(OperationalError):
            other.execute(text("DELETE FROM outbox_messages WHERE id = :id"), {"id": identity})
        other.rollback()
        one.rollback()
        one.execute(text("DELETE FROM outbox_messages WHERE id = :id"), {"id": identity})
        other.execute(text("SET lock_timeout = '100ms'"))
        with pytest.raises(OperationalError):
            other.execute(text(ATTEMPT), {"id": identity})


@pytest.mark.parametrize("channel", Channel)
def test_a_claim_takes_from_every_partition(outbox, delivery_id, channel):
    told = new_message(channel=channel, delivery_id=delivery_id, seq=1)
    ids = outbox.add(new_message(channel=channel), told)
    assert len(set(execute("SELECT tableoid FROM outbox_messages"))) == len(ids)
    assert [message.id for message in test_claims.claim(channel=channel)] == ids


def test_the_same_event_is_told_once(outbox, delivery_id):
    message = new_message(delivery_id=delivery_id, seq=1, recipient_id=delivery_id)
    outbox.add(message)
    with pytest.raises(IntegrityError):
        outbox.add(message)


def test_only_the_month_of_a_delivery_is_read(outbox):
    plan = execute("EXPLAIN SELECT * FROM outbox_messages WHERE delivery_id = :id AND seq > 1", id=new_id())
    assert sum(" on outbox_messages" in line and "Bitmap Index" not in line for line in plan) == 1, plan


def test_a_month_can_be_dropped_when_nothing_in_it_is_kept(unsplit, travel):
    with unsplit.app_context():
        outbox = Outbox(unsplit)
        assert run(unsplit, *CREATE).exit_code == 0
        made = People(unsplit).customer().create()
        month = months.this_month()
        drop = ("partitions", "drop", "{}-{:02}".format(*month), "--of", "outbox")
        assert "is this month's" in run(unsplit, *drop).output
        travel(days=32)
        execute("DELETE FROM outbox_messages WHERE delivery_id = :id", id=made["id"])
        told = new_message(delivery_id=made["id"], seq=1)
        [identity] = outbox.add(told)
        assert "are open, or are still kept" in run(unsplit, *drop).output
        execute("UPDATE outbox_messages SET next_at = now()")
        jobs.deliver("mail", seconds=20)
        execute(RECEIPT, id=identity)
        for days, refused in ((29, 1), (2, 0)):
            travel(days=days)
            assert run(unsplit, *drop).exit_code == refused
        assert dump() == [[None]] * 3
        # What is told of its deliveries later goes where all goes that has no month.
        outbox.add(told)
        assert execute("SELECT DISTINCT tableoid::regclass::text FROM outbox_messages") == [OTHER]


def test_the_months_to_come_are_made_unless_somebody_works(unsplit, travel):
    with unsplit.app_context():
        assert run(unsplit, *CREATE).exit_code == 0
        there = months.partitions(db.session(), "outbox_messages")
        db.session.remove()
        travel(days=40)
        with db.engine.connect() as busy:
            busy.execute(text("LOCK TABLE outbox_messages IN ROW EXCLUSIVE MODE"))
            with transaction():
                partitions.keep_ahead(1000)
            assert months.partitions(db.session(), "outbox_messages") == there
            db.session.remove()
        with transaction():
            partitions.keep_ahead(1000)
        made = set(months.partitions(db.session(), "outbox_messages")) - set(there)
        db.session.remove()
        assert made
        for about in ("pg_index WHERE indrelid", "pg_trigger WHERE NOT tgisinternal AND tgrelid"):
            of_other, *others = (execute(f"SELECT count(*) FROM {about} = '{one}'::regclass") for one in (OTHER, *made))
            assert all(found == of_other for found in others), about  # they hold what the others hold


def test_an_index_is_made_as_the_docs_say_whether_it_is_split_or_not(unsplit):
    section = Path("docs/migrations.md").read_text().partition("## Tables in partitions")[2]
    recipe = re.search(r"```python\n(.*?)```", section, re.DOTALL)[1]
    made = "SELECT indisvalid FROM pg_index WHERE indexrelid = 'ix_x'::regclass"
    for split in (False, True):
        with unsplit.app_context(), db.engine.connect() as connection:
            assert not split or run(unsplit, *CREATE).exit_code == 0
            exec(recipe, {"op": Operations(MigrationContext.configure(connection)), "sa": sa})
            assert execute(made) == [True]
            _assert_nothing_twice(split=split)
            execute("DROP INDEX ix_x")


def _assert_nothing_twice(*, split):
    parts = months.partitions(db.session(), "outbox_messages")
    db.session.remove()
    assert bool(parts) is split
    assert execute("SELECT count(*) FROM pg_inherits WHERE inhparent = 'ix_x'::regclass") == [len(parts)]
