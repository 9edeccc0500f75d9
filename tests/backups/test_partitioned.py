"""A database in partitions comes back from a backup with its rows, its partitions and its triggers."""

import psycopg
import pytest
from sqlalchemy import text

from delivery.database import transaction
from delivery.notifications import jobs
from delivery.notifications.services import resend
from tests.commands import run
from tests.notifications.conftest import Outbox
from tests.notifications.test_partitioned import ATTEMPT, RECEIPT

# What is defined about the tables; names that PostgreSQL chose for itself aside.
ABOUT = (
    "SELECT oid::regclass::text, relkind, pg_get_expr(relpartbound, oid) FROM pg_class WHERE relkind IN ('r', 'p')",
    "SELECT tgrelid::regclass::text, pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal",
    "SELECT conrelid::regclass::text, conname FROM pg_constraint WHERE contype <> 'f' OR conparentid = 0",
    "SELECT inhrelid::regclass::text, inhparent::regclass::text FROM pg_inherits",
    "SELECT proname, prosrc FROM pg_proc WHERE pronamespace = 'public'::regnamespace",
)


def definitions(site):
    with psycopg.connect(site.url.replace("+psycopg", ""), autocommit=True) as connection:
        return [sorted(map(repr, connection.execute(query).fetchall())) for query in ABOUT]


@pytest.mark.parametrize("site", ["postgresql"], indirect=True)
def test_a_split_database_is_restored_row_by_row_and_refuses_what_it_refused(site):
    site.fill()
    for what in ("history", "outbox"):
        done = run(site.app, "partitions", "create", "--of", what)
        assert done.exit_code == 0, done.output
    site.fill()
    with site.app.app_context():
        outbox = Outbox(site.app)
        [sent] = outbox.add_many(1)
        jobs.deliver("mail", seconds=20)
        with transaction() as session:
            assert resend([sent])[sent] != sent
            session.execute(text(RECEIPT), {"id": sent})
    saved, about = site.rows(), definitions(site)
    assert saved["outbox_attempts"]
    assert saved["message_receipts"]
    backup = site.backup()
    site.close()
    site.restore(backup, "--replace")

    restored = site.rows()
    parts = [table for table in saved if table.startswith(("outbox_", "message_", "delivery_events"))]
    assert len(parts) > 10
    assert [one for one in parts if one != "outbox_holds" and restored[one] != saved[one]] == []
    assert definitions(site) == about
    with psycopg.connect(site.url.replace("+psycopg", ""), autocommit=True) as connection:
        with pytest.raises(psycopg.errors.ForeignKeyViolation):
            connection.execute(ATTEMPT.replace(":id", "gen_random_uuid()"))
        with pytest.raises(psycopg.errors.ForeignKeyViolation):
            connection.execute("DELETE FROM outbox_messages WHERE id = %s", [sent])
