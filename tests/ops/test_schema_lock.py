"""Two starts at once: the second waits for the first one's migration, however long that takes."""

from concurrent.futures import ThreadPoolExecutor

import psycopg

from delivery.app import create_app
from delivery.ops.schema import upgrade
from tests.conftest import close, settings
from tests.servers.waiting import wait_until

KEY = 0x64656C69  # as in migrations/env.py
# Longer than the lock_timeout that the app's connections have.
WAITS = "wait_event = 'advisory' AND clock_timestamp() - query_start > interval '2.5 seconds'"


def test_a_second_start_waits_for_a_long_migration(new_postgres_database, tmp_path):
    url = new_postgres_database()
    app = create_app(settings(tmp_path, DATABASE_URL=url))
    with (
        psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as first,
        ThreadPoolExecutor(1) as pool,
    ):
        first.execute("SELECT pg_advisory_lock(%s)", [KEY])
        second = pool.submit(upgrade, app)

        def patient():
            waiting = first.execute(f"SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND {WAITS}")
            return waiting.fetchone() or second.done()

        wait_until(patient, what="the second start's patience")
        first.execute("SELECT pg_advisory_unlock(%s)", [KEY])
        second.result(timeout=30)
        assert first.execute("SELECT count(*) FROM alembic_version").fetchone() == (1,)
    close(app)
