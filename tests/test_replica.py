"""Lists from a real streaming replica: what may be late is, what one wrote oneself is not, and nothing ever fails."""

import time

import pytest

from delivery.app import create_app
from delivery.database import db
from delivery.deliveries import numbering
from tests.conftest import METRICS_TOKEN, close, migrate, settings
from tests.factories import People
from tests.servers.replica import streaming_pair
from tests.servers.waiting import wait_until

LAG_SECONDS = 3


@pytest.fixture(scope="module")
def pair():
    with streaming_pair() as servers:
        yield servers


@pytest.fixture(scope="module")
def url(pair, tmp_path_factory):
    with pair[0].database() as url:
        migrate(tmp_path_factory.mktemp("replica"), DATABASE_URL=url)
        yield url
        pair[1].stop()  # somebody may still be connected there


@pytest.fixture
def app(pair, url, redis_server, tmp_path):
    primary, replica = pair
    resume(replica)
    there = url.replace(str(primary.folder), str(replica.folder))
    given = {"DATABASE_REPLICA_URL": there, "DB_REPLICA_MAX_LAG_SECONDS": LAG_SECONDS}
    app = create_app(settings(tmp_path, DATABASE_URL=url, REDIS_URL=redis_server.url, **given))
    yield app
    close(app)
    app.extensions["delivery.replica"].engine.dispose()


def resume(replica):
    if replica.process.poll() is not None:
        replica.start()
    replica.execute("SELECT pg_wal_replay_resume()")


def usable(app):
    with app.app_context():
        return app.extensions["delivery.replica"].usable()


def ids(api, path="/api/deliveries"):
    response = api.get(path)
    assert response.status_code == 200, response.text
    return [item["id"] for item in response.json["items"]]


def forget_writes(redis_server):
    with redis_server.client() as client:
        client.delete(*client.keys("delivery:wrote:*"))


def test_lists_are_late_for_others_and_never_for_who_wrote(app, pair, redis_server):
    replica = pair[1]
    people = People(app)
    api, staff = people.customer(), people.dispatcher()
    first = api.create()
    wait_until(lambda: usable(app), what="a replica in time")
    replica.execute("SELECT pg_wal_replay_pause()")
    second = api.create()
    assert ids(api)[0] == second["id"]  # read at the primary: they wrote
    assert ids(staff)[0] == first["id"]
    # What decides is read at the primary: the delivery itself, its ETag, who asks, and a session that has just begun.
    assert staff.get(f"/api/deliveries/{second['id']}").headers["ETag"] == '"1"'
    assert ids(people.dispatcher())[0] == first["id"]
    for path in ("events", "notifications"):
        assert staff.get(f"/api/deliveries/{second['id']}/{path}").json["items"] == []
    assert staff.get("/api/notifications?limit=1").json["items"][0]["delivery_id"] == first["id"]
    # Too late, it is not read any more, without anybody noticing.
    wait_until(lambda: ids(staff)[0] == second["id"], what="the primary", seconds=LAG_SECONDS + 3)
    forget_writes(redis_server)
    assert ids(api)[0] == second["id"]
    assert "delivery_replica_up 0.0" in scraped(app)
    replica.execute("SELECT pg_wal_replay_resume()")
    wait_until(lambda: "delivery_replica_up 1.0" in scraped(app), what="the replica again")
    assert ids(staff)[0] == second["id"]


def scraped(app):
    return app.test_client().get("/metrics", headers={"Authorization": f"Bearer {METRICS_TOKEN}"}).text


def test_the_feed_passes_over_nothing_that_the_replica_lacks(app, pair):
    people = People(app)
    api, staff = people.customer(), people.dispatcher()
    numbered(app)
    after = staff.get("/api/events?after=latest").json["next_after"]
    wait_until(lambda: usable(app), what="a replica in time")
    pair[1].execute("SELECT pg_wal_replay_pause()")
    made = api.create()
    numbered(app)
    late = staff.get(f"/api/events?after={after}").json
    assert late["items"] == []
    pair[1].execute("SELECT pg_wal_replay_resume()")
    asked = f"/api/events?after={late['next_after']}"
    [item] = wait_until(lambda: staff.get(asked).json["items"], what="the event")
    assert item["data"]["delivery_id"] == made["id"]


def numbered(app):
    with app.app_context():
        numbering.number_new_events()


def test_a_session_that_ended_is_refused_although_the_replica_does_not_know(app, pair):
    api = People(app).customer()
    api.create()
    wait_until(lambda: usable(app), what="a replica in time")
    pair[1].execute("SELECT pg_wal_replay_pause()")
    assert api.post("/api/auth/logout").status_code == 204
    assert api.get("/api/deliveries").status_code == 401


def test_a_killed_replica_costs_nobody_an_error(app, pair, redis_server, caplog):
    api = People(app).customer()
    made = api.create()
    wait_until(lambda: usable(app), what="a replica in time")
    forget_writes(redis_server)
    assert ids(api) == [made["id"]]
    pair[1].stop()
    caplog.clear()
    began = time.monotonic()
    assert ids(api) == [made["id"]]
    assert ids(api) == [made["id"]]
    assert time.monotonic() - began < 2
    assert [record.message for record in caplog.records].count("the replica is not read, the primary is") == 1
    pair[1].start()
    app.extensions["delivery.replica"].paused_until = 0.0
    wait_until(lambda: usable(app), what="the replica again")


def test_without_redis_nobody_knows_who_wrote_and_the_primary_answers(app, pair, redis_server):
    api = People(app).customer()
    wait_until(lambda: usable(app), what="a replica in time")
    redis_server.kill()
    pair[1].execute("SELECT pg_wal_replay_pause()")
    made = api.create()
    assert ids(api) == [made["id"]]


def test_a_promoted_replica_is_not_read(app, pair, monkeypatch):
    with app.app_context():
        there = app.extensions["delivery.replica"]
        monkeypatch.setattr(there, "engine", db.engine)  # one that is nobody's replica
        assert not there.usable()
        assert there.lag_seconds() == float("inf")
