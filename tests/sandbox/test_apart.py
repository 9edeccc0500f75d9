"""What a test key has made is its own world: no endpoint shows or touches the other one, in either direction.

A thing is made, tried from the other side, and then moved over by its row alone: who sees it, and who does not,
changes places.
"""

import re

import pytest
from sqlalchemy import select, text

from delivery.database import db, transaction
from delivery.deliveries.models import Delivery
from delivery.deliveries.numbering import number_new_events
from delivery.notifications.models import OutboxMessage
from delivery.policy import POLICY
from delivery.web.rules import BOTH, LIVE, TESTS
from delivery.webhooks.models import WebhookEndpoint
from tests.auth.keys import key_of, sandbox_of
from tests.calls import CALLS, Things, kind_of
from tests.factories import delivery_in
from tests.test_policy import refused
from tests.web.answers import problem

MOVE_OVER = (
    "UPDATE outbox_messages SET state = 'suppressed', settled_at = created_at, lease_token = NULL, lease_until = NULL",
    "UPDATE outbox_messages SET test = true",
    "UPDATE webhook_endpoints SET test = true",
    "UPDATE deliveries SET test = true",
)
# What is about an account, in either world: it is asked for by the account's id.
OF_ACCOUNTS = {"deliveries.of_user"}
KEPT_APART = [endpoint for endpoint, rule in POLICY.items() if rule.modes == BOTH and endpoint != "auth.me"]
ABOUT_ONE = [one for one in KEPT_APART if kind_of(CALLS[one]) and one not in OF_ACCOUNTS]
LISTS = [one for one in KEPT_APART if CALLS[one].method == "GET" and one not in ABOUT_ONE]
# What names many things in its body, and what codes an answer gives for them.
ABOUT_MANY = {
    "bulk.move": lambda response: [item["problem"] and item["problem"]["code"] for item in response.json["items"]],
    "labels.sheet": lambda response: [error["code"] for error in (response.json or {}).get("errors", ())],
}
MAKING = [one for one in KEPT_APART if one not in {*ABOUT_ONE, *LISTS, *ABOUT_MANY}]
MADE = (Delivery, WebhookEndpoint)


def ids(app):
    with app.app_context(), db.engine.connect() as connection:
        return {str(row) for table in (*MADE, OutboxMessage) for row in connection.execute(select(table.id)).scalars()}


def move_over(app):
    with app.app_context(), transaction() as session:
        for statement in MOVE_OVER:
            session.execute(text(statement))


def shown(response):
    assert response.status_code == 200, response.text
    return set(re.findall(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", response.text))


def test_the_table_leaves_out_test_keys_but_where_it_names_them():
    """A new endpoint is about what is live, and keeps test keys out, until somebody has thought of them."""
    assert {rule.modes for rule in POLICY.values()} == {LIVE, BOTH, TESTS}
    assert set(MAKING) == {"deliveries.create", "bulk.create", "webhook-endpoints.create"}
    assert set(LISTS) == {
        "deliveries.index", "deliveries.export", "deliveries.of_user", "notifications.index", "events.index",
        "webhook-endpoints.index", "webhook-deliveries.index",
    }  # fmt: skip


@pytest.mark.no_cover
@pytest.mark.parametrize("endpoint", [name for name, rule in POLICY.items() if rule.modes == LIVE and not rule.public])
def test_a_test_key_may_not_call_what_is_about_the_real_world(app, people, endpoint):
    call = CALLS[endpoint]
    person = people.make(call.by)
    call, key = call.about(Things(people, by=person, of=call.of)), sandbox_of(person)
    refused(app, call, key, (403, "live_only"))


@pytest.mark.no_cover
@pytest.mark.parametrize("endpoint", ABOUT_ONE)
def test_what_is_of_the_other_world_is_not_there(app, people, endpoint):
    person = people.make(CALLS[endpoint].by)
    call = CALLS[endpoint].about(Things(people, by=person))
    live, test = key_of(person), sandbox_of(person)
    staff = [sandbox_of(people.admin()), sandbox_of(people.dispatcher())]

    for stranger in (test, *staff):
        refused(app, call, stranger, (404, "not_found"))
    move_over(app)
    for stranger in (person, live, people.admin(), people.dispatcher()):
        refused(app, call, stranger, (404, "not_found"))
    there = call.send(test)
    assert there.status_code < 300 or there.json["code"] == "not_resendable", there.text


@pytest.mark.parametrize("endpoint", ABOUT_MANY)
def test_of_many_none_is_there_that_is_of_the_other_world(app, people, endpoint):
    person, codes = people.customer(), ABOUT_MANY[endpoint]
    call = CALLS[endpoint].about(Things(people, by=person))
    live, test = key_of(person), sandbox_of(person)

    for stranger in (test, sandbox_of(people.admin()), sandbox_of(people.dispatcher())):
        assert codes(call.send(stranger)) == ["not_found"]
    move_over(app)
    for stranger in (person, live, people.admin(), people.dispatcher()):
        assert codes(call.send(stranger)) == ["not_found"]
    there = call.send(test)
    assert there.status_code == 200
    assert "not_found" not in codes(there)


@pytest.mark.parametrize("endpoint", LISTS)
def test_a_list_shows_one_world(app, people, endpoint):
    person, admin = people.customer(), people.admin()
    Things(people, by=person)["webhook"]
    person.create(tags=["one"])
    with app.app_context():
        number_new_events()
    call = CALLS[endpoint].about(Things(people, by=person))
    live, test, everybodys = key_of(person), sandbox_of(person), sandbox_of(admin)
    everything = ids(app)

    assert shown(call.send(person)) & everything == shown(call.send(live)) & everything != set()
    assert shown(call.send(test)) & everything == set()
    assert shown(call.send(everybodys)) & everything == set()
    move_over(app)
    assert shown(call.send(test)) & everything != set()
    assert shown(call.send(person)) & everything == set()
    assert shown(call.send(admin)) & everything == set()


@pytest.mark.parametrize("path", ["/api/deliveries", "/api/deliveries/export.csv"])
@pytest.mark.parametrize(
    "asked",
    [
        lambda one: {"q": one["tracking_number"]},
        lambda one: {"q": one["reference"]},
        lambda _: {"q": "order"},
        lambda _: {"q": "grace"},
        lambda one: {"reference": one["reference"]},
        lambda _: {"late": "true"},
        lambda _: {"unassigned": "true", "status": "pending", "sort": "updated_at"},
    ],
    ids=["a number", "a reference", "a part", "a name", "the reference", "late", "by state"],
)  # fmt: skip
def test_what_is_looked_for_is_found_in_one_world(app, api, people, path, asked):
    window = {"earliest": "2020-01-01T08:00:00Z", "latest": "2020-01-01T12:00:00Z"}
    key, admin = sandbox_of(api), people.admin()
    live, test = (by.create(reference="order-4711", window=window) for by in (api, key))
    for mine, (person, everybody) in ((live, (api, admin)), (test, (key, sandbox_of(admin)))):
        other = test if mine is live else live
        for by in (person, everybody):
            found = shown(by.get(path, query_string=asked(mine), buffered=True))
            assert mine["id"] in found
            assert other["id"] not in found
    crossed = key.get(path, query_string={"q": live["tracking_number"]}, buffered=True)
    assert shown(crossed) & {live["id"], test["id"]} == set()


@pytest.mark.parametrize("endpoint", MAKING)
def test_what_a_key_makes_is_of_its_world(app, people, endpoint):
    person = people.customer()
    live, test = key_of(person), sandbox_of(person)
    for by, is_test in ((person, False), (live, False), (test, True)):
        made = CALLS[endpoint].about(Things(people, by=person)).send(by)
        assert made.status_code in {200, 201}, made.text
        assert made.json.get("test", is_test) is is_test
        with app.app_context(), db.engine.connect() as connection:
            rows = [row for table in MADE for row in connection.execute(select(table.id, table.test))]
        worlds = {str(row.id): row.test for row in rows}
        assert {worlds[one["id"]] for one in made.json.get("items", [made.json])} == {is_test}


def test_a_reference_is_unique_in_each_world(api):
    key = sandbox_of(api)
    live, test = api.create(reference="order-1"), key.create(reference="order-1")
    for by, mine in ((api, live), (key, test)):
        again = by.post("/api/deliveries", json=delivery_in(reference="order-1"))
        assert problem(again, 409, "duplicate_reference")["existing_id"] == mine["id"]
        other = by.create(reference="order-2")
        change = {"json": {"reference": "order-1"}, "headers": {"If-Match": "*"}}
        problem(by.patch(f"/api/deliveries/{other['id']}", **change), 409, "duplicate_reference")
        [found] = by.get("/api/deliveries?reference=order-1").json["items"]
        assert found["id"] == mine["id"]
        many = by.post("/api/deliveries/bulk", json={"items": [delivery_in(reference=f"order-{n}") for n in (1, 3)]})
        [taken, new] = many.json["items"]
        assert (taken["outcome"], taken["id"], new["outcome"]) == ("duplicate", mine["id"], "created")


def test_an_idempotency_key_is_one_in_each_world(api):
    """An Idempotency-Key means one thing in each world."""
    again = {"Idempotency-Key": "order-1"}
    one, other = (by.post("/api/deliveries", json=delivery_in(), headers=again) for by in (api, sandbox_of(api)))
    assert one.status_code == other.status_code == 201
    assert one.json["id"] != other.json["id"]
    assert "Idempotent-Replayed" not in other.headers
    longest = {"Idempotency-Key": "x" * 255}
    assert sandbox_of(api).post("/api/deliveries", json=delivery_in(), headers=longest).status_code == 201


def test_open_tests_keep_nobody_from_leaving_and_are_forgotten_with_them(app, people):
    leaver, admin = people.customer(), people.admin()
    sandbox_of(leaver).create(description="Between Ada and Grace")
    assert admin.delete(f"/api/users/{leaver.user_id}", headers={"If-Match": "*"}).status_code == 204
    assert of_deliveries(app, "description") == [None]


def test_whoever_stands_in_a_test_is_forgotten_while_it_is_open(app, people):
    admin = people.admin()
    sandbox_of(people.customer()).create()
    assert admin.post("/api/privacy/erasures", json={"email": "grace@home.example"}).status_code == 200
    assert of_deliveries(app, "recipient_email") == [None]


def of_deliveries(app, column):
    with app.app_context(), db.engine.connect() as connection:
        return list(connection.execute(select(Delivery.__table__.c[column])).scalars())


def test_a_key_says_what_it_is(api):
    key = sandbox_of(api)
    secret = key.headers["Authorization"].removeprefix("Bearer ")
    assert re.fullmatch(r"dms_test_[0-9A-Za-z]{49}", secret)
    [shown_key] = api.get("/api/auth/api-keys").json["items"]
    assert shown_key["test"] is True
    assert shown_key["hint"] == f"dms_test_...{secret[-4:]}"
    rolled = api.post(f"/api/auth/api-keys/{shown_key['id']}/roll", json={}).json
    assert rolled["test"] is True
    assert rolled["secret"].startswith("dms_test_")
    # Its name makes nothing of it: it is checked with all the rest.
    key.headers = {"Authorization": f"Bearer {secret.replace('test', 'live', 1)}"}
    problem(key.get("/api/deliveries"), 401)
