"""A restore while the API serves, by an owner who is no superuser: what was answered for is kept, the rest refused."""

import threading
from collections import Counter
from uuid import uuid4

import pytest
from sqlalchemy import create_engine, text

from tests.backups.conftest import Site
from tests.factories import delivery_in


@pytest.fixture
def site(postgres, tmp_path, redis_server, monkeypatch):
    """A deployment on PostgreSQL as the documents have it: its user owns the database and may make others."""
    name = f"owned_{uuid4().hex[:12]}"
    postgres.execute(f"CREATE ROLE {name} LOGIN CREATEDB")
    postgres.execute(f"CREATE DATABASE {name} OWNER {name}")
    with_site = Site(postgres.url(name).replace("postgres@", f"{name}@"), tmp_path, redis_server.url, monkeypatch)
    yield with_site
    with_site.close()
    for database in with_site.databases():
        postgres.execute(f'DROP DATABASE "{database}" WITH (FORCE)')
    postgres.execute(f"DROP ROLE {name}")


@pytest.mark.timeout(180)
def test_no_row_that_was_answered_for_is_lost_and_what_is_refused_is_told(site):
    shop = site.fill()
    backup = site.backup()
    stop, made, answers = threading.Event(), [], Counter()

    def write():
        while not stop.is_set():
            answer = shop.post("/api/deliveries", json=delivery_in(), headers={"Idempotency-Key": str(uuid4())})
            answers[answer.status_code] += 1
            if answer.status_code == 201:
                made.append(answer.json["id"])
            else:
                assert answer.mimetype == "application/problem+json"
            stop.wait(0.05)

    writers = [threading.Thread(target=write) for _ in range(2)]
    for writer in writers:
        writer.start()
    try:
        site.restore(backup, "--replace")
    finally:
        stop.set()
        for writer in writers:
            writer.join()
    assert len(made) > 5
    assert answers[503] > 0
    assert set(answers) <= {201, 503, 401, 429}, "the database shut, then every session ended"
    (before,) = (name for name in site.databases() if "_before_" in name)
    kept = ids(site.url.replace(f"/{site.name}?", f"/{before}?"))
    assert set(made) <= kept
    assert len(ids(site.url)) == 3, "nothing was written into the restored one by whoever was signed in before"


def ids(url):
    engine = create_engine(url)
    with engine.connect() as connection:
        found = set(connection.execute(text("SELECT CAST(id AS text) FROM deliveries")).scalars())
    engine.dispose()
    return found
