"""Endpoints: made, proven by a challenge, changed, and told of events."""

from uuid import UUID

import pytest

from delivery.database import reader, transaction
from delivery.errors import Conflict
from delivery.web import ANY_VERSION
from delivery.webhooks import services
from delivery.webhooks.queries import ENDPOINT_BY_ID
from tests.web.answers import problem, wrong
from tests.webhooks.conftest import ENDPOINTS, is_signed
from tests.webhooks.making import endpoint

PUBLIC = "https://shop.example/hooks"


def test_a_new_endpoint_is_told_nothing_until_it_answers_the_challenge(hooks, receiver):
    receiver.answers_challenges = False
    made = hooks.make()
    hooks.drain()
    assert hooks.show(made)["status"] == "unverified"
    assert [request.type for request in receiver.requests] == ["endpoint.verify"]
    assert is_signed(receiver.requests[0], made["secret"])

    hooks.api.create()
    hooks.drain()
    assert len(receiver.requests) == 1
    event, challenge = hooks.log()
    assert (event["state"], event["error_class"]) == ("suppressed", "unverified")
    assert (challenge["state"], challenge["error_class"]) == ("pending", "challenge_unanswered")

    receiver.answers_challenges = True
    assert hooks.post(made, "verify").status_code == 200
    hooks.drain()
    assert hooks.show(made)["status"] == "active"
    assert [one["error_class"] for one in hooks.log(event="endpoint.verify")] == [None, "challenge_replaced"]


def test_an_answer_to_an_older_challenge_proves_nothing(hooks, receiver):
    receiver.answers_challenges = False
    made = hooks.make()
    hooks.drain()
    old = receiver.requests[0].json["data"]["challenge"]
    hooks.post(made, "verify")
    receiver.answer(200, body=old.encode(), times=None)
    hooks.drain()
    assert hooks.show(made)["status"] == "unverified"


def test_a_challenge_may_come_back_as_plain_text(hooks, receiver):
    receiver.script.add(
        lambda handler: handler.answer(200, receiver.requests[-1].json["data"]["challenge"].encode(), {})
    )
    made = hooks.make()
    hooks.drain()
    assert hooks.show(made)["status"] == "active"


def test_an_event_arrives_thin_and_signed(hooks, receiver):
    made = hooks.active()
    delivery = hooks.api.create(reference="A-1")
    hooks.drain()
    [request] = receiver.requests
    assert is_signed(request, made["secret"])
    body = request.json
    assert (body["type"], set(body)) == ("delivery.created", {"type", "timestamp", "data"})
    assert body["data"].pop("occurred_at")
    assert body["data"] == {
        "delivery_id": delivery["id"],
        "tracking_number": delivery["tracking_number"],
        "reference": "A-1",
        "status": "pending",
        "previous_status": None,
        "sequence": 1,
    }
    assert len(request.body) < 20_000
    assert b"Grace" not in request.body
    [logged] = hooks.log(event="delivery.created")
    assert (logged["id"], logged["state"], logged["attempts"]) == (request.id, "sent", 1)


def test_every_kind_of_event_is_told(hooks, people, receiver):
    hooks.active()
    dispatcher = people.dispatcher()
    delivery = hooks.api.create(draft=True)
    hooks.api.move(delivery, "pending")
    seen = hooks.api.get(f"/api/deliveries/{delivery['id']}")
    hooks.api.patch(
        f"/api/deliveries/{delivery['id']}", json={"item_name": "Red"}, headers={"If-Match": seen.headers["ETag"]}
    )
    courier = people.courier()
    dispatcher.move(delivery, "assigned", courier_id=courier.user_id)
    seen = hooks.api.get(f"/api/deliveries/{delivery['id']}")
    gone = hooks.api.delete(f"/api/deliveries/{delivery['id']}", headers={"If-Match": seen.headers["ETag"]})
    assert gone.status_code == 204
    for _ in range(5):
        hooks.drain()
    assert [request.type for request in receiver.requests] == [
        "delivery.created",
        "delivery.pending",
        "delivery.edited",
        "delivery.assigned",
        "delivery.deleted",
    ]
    assert [request.json["data"]["sequence"] for request in receiver.requests] == [1, 2, 3, 4, 5]
    assert receiver.requests[1].json["data"]["previous_status"] == "draft"


def test_a_filter_lets_through_what_was_chosen(hooks, receiver):
    hooks.active(events=["delivery.cancelled"], path="/some")
    hooks.active(path="/all")
    delivery = hooks.api.create()
    hooks.api.move(delivery, "cancelled")
    hooks.drain()
    hooks.drain()
    assert sorted((request.path, request.type) for request in receiver.requests) == [
        ("/all", "delivery.cancelled"),
        ("/all", "delivery.created"),
        ("/some", "delivery.cancelled"),
    ]


def test_nobody_is_told_of_somebody_elses_deliveries(hooks, people, receiver):
    hooks.active()
    people.customer().create()
    hooks.drain()
    assert receiver.requests == []


def test_an_admins_endpoint_may_watch_all_deliveries(hooks, people, receiver):
    admin = people.admin()
    assert hooks.api.post(ENDPOINTS, json={"url": PUBLIC, "all_deliveries": True}).status_code == 403
    hooks.active(api=admin, all_deliveries=True)
    hooks.api.create()
    hooks.drain()
    assert [request.type for request in receiver.requests] == ["delivery.created"]


def test_who_is_no_admin_any_more_is_told_of_all_no_more(hooks, people, receiver):
    admin, other = people.admin(), people.admin()
    hooks.active(api=admin, all_deliveries=True)
    seen = other.get(f"/api/users/{admin.user_id}")
    changed = other.patch(
        f"/api/users/{admin.user_id}", json={"role": "dispatcher"}, headers={"If-Match": seen.headers["ETag"]}
    )
    assert changed.status_code == 200
    hooks.api.create()
    hooks.drain()
    assert receiver.requests == []


def test_a_rotated_secret_signs_beside_the_old_one_for_a_day(hooks, receiver, travel):
    made = hooks.active()
    rotated = hooks.post(made, "rotate-secret").json
    assert rotated["secret"] != made["secret"]
    hooks.api.create()
    hooks.drain()
    assert [is_signed(receiver.requests[0], one["secret"]) for one in (made, rotated)] == [True, True]
    hooks.post(made, "test")
    travel(hours=25)
    hooks.drain()
    assert [is_signed(receiver.requests[-1], one["secret"]) for one in (made, rotated)] == [False, True]


def test_a_secret_is_shown_once_and_stored_nowhere(hooks, app):
    made = hooks.active()
    assert made["secret"].startswith("whsec_")
    assert "secret" not in hooks.show(made)
    replayed = [
        hooks.api.post(ENDPOINTS, json={"url": PUBLIC}, headers={"Idempotency-Key": "k"}).json for _ in range(2)
    ]
    assert replayed[0]["secret"]
    assert replayed[1]["secret"] is None


def test_a_new_url_has_to_prove_itself(hooks, receiver):
    made = hooks.active()
    changed = hooks.api.patch(
        f"{ENDPOINTS}/{made['id']}", json={"url": f"{receiver.url}/new"}, headers={"If-Match": f'"{made["version"]}"'}
    )
    assert (changed.status_code, changed.json["status"]) == (200, "unverified")
    hooks.drain()
    assert [(request.path, request.type) for request in receiver.requests] == [("/new", "endpoint.verify")]
    assert hooks.show(made)["status"] == "active"


def test_a_change_needs_the_newest_version(hooks):
    made = hooks.make()
    path = f"{ENDPOINTS}/{made['id']}"
    problem(hooks.api.patch(path, json={"description": "x"}), 428, "if_match_required")
    problem(hooks.api.patch(path, json={"description": "x"}, headers={"If-Match": '"9"'}), 412, "stale_version")
    changed = hooks.api.patch(path, json={"description": "x"}, headers={"If-Match": '"1"'})
    assert (changed.json["description"], changed.json["version"]) == ("x", 2)
    problem(hooks.api.delete(path, headers={"If-Match": '"1"'}), 412, "stale_version")


def test_a_deleted_endpoint_is_told_nothing(hooks, receiver):
    made = hooks.active()
    hooks.api.create()
    assert hooks.api.delete(f"{ENDPOINTS}/{made['id']}", headers={"If-Match": "*"}).status_code == 204
    hooks.drain()
    assert receiver.requests == []
    assert [one["error_class"] for one in hooks.log(event="delivery.created")] == ["endpoint_gone"]


def test_an_account_has_ten_endpoints_at_the_most(hooks):
    for _ in range(10):
        hooks.make()
    problem(hooks.api.post(ENDPOINTS, json={"url": PUBLIC}), 409, "too_many_endpoints")


@pytest.mark.parametrize("url", ["ftp://x.example/", "https://u@x.example/", "https://10.0.0.1/", "x"])
def test_a_url_that_we_never_send_to_is_refused_at_once(hooks, url):
    assert wrong(hooks.api.post(ENDPOINTS, json={"url": url})) == {"/url": "invalid"}


def test_events_must_exist(hooks):
    assert hooks.api.post(ENDPOINTS, json={"url": PUBLIC, "events": ["delivery.eaten"]}).status_code == 422
    assert hooks.api.post(ENDPOINTS, json={"url": PUBLIC, "events": []}).status_code == 422


def test_a_test_event_is_sent_to_an_active_endpoint_alone(hooks, receiver):
    unproven = hooks.make()
    problem(hooks.post(unproven, "test"), 409, "not_active")
    made = hooks.active()
    assert hooks.post(made, "test").status_code == 202
    hooks.drain()
    assert [request.type for request in receiver.requests] == ["endpoint.test"]


def test_challenges_and_tests_are_limited(hooks):
    made = hooks.active()
    answers = [hooks.post(made, "test").status_code for _ in range(21)]
    assert answers == [202] * 20 + [429]


def test_somebody_elses_endpoint_is_not_there(hooks, people):
    made, other = hooks.make(), people.admin()
    for method, path in (("GET", ""), ("PATCH", ""), ("DELETE", ""), ("POST", "/test"), ("POST", "/rotate-secret")):
        response = other.request(method, f"{ENDPOINTS}/{made['id']}{path}", headers={"If-Match": "*"})
        assert response.status_code == 404, path
    assert other.get(ENDPOINTS).json["items"] == []


def test_what_changes_nothing_is_no_new_version(hooks):
    made = hooks.make()
    path = f"{ENDPOINTS}/{made['id']}"
    same = hooks.api.patch(path, json={"events": ["*"], "all_deliveries": False}, headers={"If-Match": "*"})
    assert same.json["version"] == 1
    chosen = hooks.api.patch(path, json={"events": ["delivery.lost", "delivery.lost"]}, headers={"If-Match": "*"})
    assert (chosen.json["version"], chosen.json["events"]) == (2, ["delivery.lost"])


def test_a_disabled_endpoint_may_get_a_new_url_and_stays_disabled(hooks, api, receiver):
    made = endpoint(hooks.app, api.user_id, status="disabled", reason="gone")
    hooks.drain()
    changed = api.patch(f"{ENDPOINTS}/{made}", json={"url": f"{receiver.url}/new"}, headers={"If-Match": "*"})
    assert changed.json["status"] == "disabled"
    hooks.drain()
    assert receiver.requests == []


def test_who_comes_second_loses_the_race(hooks, app):
    made = hooks.make()
    with app.app_context():
        seen = reader().execute(ENDPOINT_BY_ID, {"id": UUID(made["id"])}).one()
        with transaction():
            services.rotate(seen, expected=ANY_VERSION)
        for verb in (services.rotate, services.remove):
            with pytest.raises(Conflict), transaction():
                verb(seen, expected=ANY_VERSION)


def test_an_answer_that_comes_when_another_was_asked_changes_nothing(hooks, app):
    made = hooks.make()
    with app.app_context(), transaction():
        services.activate(UUID(made["id"]), challenge="older")
    assert hooks.show(made)["status"] == "unverified"


def test_an_endpoint_that_is_active_is_not_asked_again(hooks):
    problem(hooks.post(hooks.active(), "verify"), 409, "not_unverified")
