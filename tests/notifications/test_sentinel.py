"""Redis behind Sentinels: real ones, whose master is killed and frozen while messages are written."""

import os
import time
from contextlib import ExitStack

import pytest
from redis.exceptions import RedisError

from delivery import notifications
from delivery.sentinel import client_of
from delivery.subscriptions import COMPOSERS
from tests.factories import People
from tests.notifications.conftest import on_postgresql
from tests.notifications.test_processes import START_SECONDS, Process, states
from tests.servers.sentinel import sentinel_trio
from tests.servers.waiting import wait_until

pytestmark = on_postgresql


@pytest.fixture
def trio():
    with sentinel_trio() as servers:
        yield servers


@pytest.fixture
def system(make_app, trio, smtp):
    """An app that sends real mail, and finds its Redis by the Sentinels."""
    app = make_app(REDIS_URL=trio.url, SMTP_HOST=smtp.host, SMTP_PORT=smtp.port, SMTP_TLS="none")
    notifications.init_app(app, COMPOSERS)
    yield app
    app.extensions["delivery.redis"].client.close()


@pytest.fixture
def start(system, tmp_path):
    names = ("DATA_DIR", "REDIS_URL", "SMTP_HOST", "SMTP_PORT", "SMTP_TLS")
    url = system.config["DATABASE_URL"].replace("postgresql+psycopg:", "postgresql:")
    environment = {**os.environ, **{name: str(system.config[name]) for name in names}, "DATABASE_URL": url}
    with ExitStack() as stack:

        def begin(*command):
            process = Process(command, env=environment, log=tmp_path / f"{command[1]}.log")
            stack.callback(process.kill_all)
            return process

        yield begin


def workers_of(client):
    try:
        return client.scard("rq:workers:mail")
    except RedisError:  # between two masters
        return 0


def test_a_killed_master_costs_no_message_and_no_worker(system, trio, smtp, start):
    api = People(system).customer()
    worker, sweep = start("flask", "worker", "mail"), start("flask", "cron")
    redis = client_of(trio.url, socket_timeout=1)
    wait_until(lambda: workers_of(redis), what="a worker", seconds=START_SECONDS)
    children = [one.pid for one in worker.children()]

    for number in range(12):
        api.create()
        if number == 3:
            before = trio.kill_master()
        time.sleep(0.2)
    trio.wait_for_failover(before)

    smtp.wait_for(24, seconds=20)
    wait_until(lambda: {state for _, state, _ in states(system)} == {"sent"}, what="all sent", seconds=20)
    assert len({mail.message["Message-ID"] for mail in smtp.received}) == len(smtp.received) == 24
    # The same worker wakes by the new master's queue: nobody sweeps any more.
    assert sweep.stop() == 0
    wait_until(lambda: workers_of(redis), what="the worker at the new master", seconds=40)
    wait_until(lambda: not redis.exists("delivery:wake:mail"), what="the end of a wake whose job was lost", seconds=10)
    system.extensions["delivery.redis"].closed_until = 0.0
    api.create()
    smtp.wait_for(26, seconds=10)
    assert [one.pid for one in worker.children()] == children
    redis.close()


def test_a_frozen_master_is_left_and_sentinels_that_say_nothing_hold_nobody_up(system, trio, smtp, start):
    api, client = People(system).customer(), client_of(trio.url, socket_timeout=0.5)
    api.create()
    assert start("rq", "worker", "-c", "wsgi", "-S", "json", "--burst", "mail").popen.wait(timeout=START_SECONDS) == 0
    smtp.wait_for(2, seconds=1)
    client.set("key", "old")
    before = trio.master()
    trio.freeze(before)
    trio.wait_for_failover(before)
    wait_until(lambda: written(client), what="a write at the new master", seconds=10)
    trio.thaw(before)
    client.set("key", "new")
    with trio.client(trio.master()) as master:
        assert master.get("key") == b"new"
    trio.freeze(*trio.processes)
    began = time.monotonic()
    api.create()
    assert time.monotonic() - began < 3
    client.close()


def written(client):
    try:
        return client.set("key", "newer")
    except RedisError:
        return False
