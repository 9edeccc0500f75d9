"""Endpoints that a test key made get real, signed webhooks of test deliveries; no other endpoint gets one."""

import json

import pytest

from tests.auth.keys import sandbox_of
from tests.sandbox.testing import advance
from tests.webhooks.conftest import Hooks, is_signed


@pytest.fixture
def app(make_app):
    return make_app(WEBHOOK_ALLOW_LOOPBACK="true")


@pytest.fixture
def worlds(app, people, receiver):
    """A customer's endpoints, live and test, and those of an admin for everybody's deliveries."""
    customer, admin = people.customer(), people.admin()
    found = {}
    for name, api in {"live": customer, "test": sandbox_of(customer)}.items():
        found[name] = Hooks(app, api, receiver)
        found[name].endpoint = found[name].active(path=f"/{name}")
    for name, api in {"all live": admin, "all test": sandbox_of(admin)}.items():
        found[name] = Hooks(app, api, receiver)
        found[name].active(path=f"/{name.replace(' ', '-')}", all_deliveries=True)
    receiver.clear()
    return found


def told(receiver):
    """Which paths were told of which types of event."""
    found = {}
    for request in receiver.requests:
        found.setdefault(request.path, []).append(json.loads(request.body)["type"])
    return found


def test_each_world_is_told_of_its_own(worlds, receiver):
    live, test = worlds["live"], worlds["test"]
    delivery = test.api.create()
    advance(test.api, delivery, scenario="lost", to_end=True)
    live.drain()
    types = ["delivery.created", "delivery.picked_up", "delivery.in_transit", "delivery.lost"]
    assert told(receiver) == {"/test": types, "/all-test": types}
    assert {is_signed(one, test.endpoint["secret"]) for one in receiver.requests if one.path == "/test"} == {True}

    receiver.clear()
    live.api.create()
    live.drain()
    assert told(receiver) == {"/live": ["delivery.created"], "/all-live": ["delivery.created"]}


def test_what_is_sent_again_or_replayed_stays_in_its_world(worlds, receiver):
    live, test = worlds["live"], worlds["test"]
    test.api.create()
    live.api.create()
    live.drain()
    receiver.clear()
    for hooks in (live, test):
        since = hooks.endpoint["created_at"]
        answer = hooks.post(hooks.endpoint, "replay", since=since)
        assert answer.status_code == 202, answer.text
        assert (answer.json["repeated"], answer.json["made"]) == (1, 0)
        [sent] = hooks.log(event="delivery.created", endpoint_id=hooks.endpoint["id"])[-1:]
        again = hooks.api.post(f"/api/webhook-deliveries/{sent['id']}/redeliver")
        assert again.status_code == 202, again.text
    live.drain()
    assert told(receiver) == {"/live": ["delivery.created"] * 2, "/test": ["delivery.created"] * 2}
    assert len(test.log(event="delivery.created")) == 3
    assert {one["endpoint_id"] for one in test.log()} == {test.endpoint["id"]}


def test_the_feed_of_a_test_key_tells_of_tests(worlds):
    live, test = worlds["live"], worlds["test"]
    tried, real = test.api.create(), live.api.create()
    live.number()
    assert [one["data"]["delivery_id"] for one in test.feed()["items"]] == [tried["id"]]
    assert [one["data"]["delivery_id"] for one in live.feed()["items"]] == [real["id"]]
