"""Endpoints that fail: tried again under the same id, disabled when they are gone or fail for too long."""

from uuid import UUID

import pytest

from delivery.database import transaction
from delivery.deliveries import creating
from delivery.notifications.jobs import deliver
from delivery.web import SYSTEM
from tests.commands import run_json
from tests.servers.waiting import wait_until
from tests.web.answers import problem
from tests.webhooks.conftest import ENDPOINTS, is_signed


def statuses(hooks, event="delivery.created"):
    return [(one["state"], one["error_class"]) for one in hooks.log(event=event)]


def test_a_failure_is_tried_again_under_the_same_id_and_signed_anew(hooks, receiver, travel):
    made = hooks.active()
    receiver.fail(503)
    hooks.api.create()
    hooks.drain()
    assert hooks.show(made)["failing_since"]
    travel(seconds=10)
    hooks.drain()
    first, second = receiver.requests
    assert (first.id, first.body) == (second.id, second.body)
    assert int(second.headers["webhook-timestamp"]) >= int(first.headers["webhook-timestamp"]) + 10
    assert is_signed(second, made["secret"])
    assert statuses(hooks) == [("sent", None)]
    assert hooks.show(made)["failing_since"] is None


def test_what_came_of_each_attempt_is_in_the_log(hooks, receiver, travel):
    hooks.active()
    receiver.answer(500, body=b"Out of order")
    hooks.api.create()
    hooks.drain()
    travel(seconds=10)
    hooks.drain()
    [logged] = hooks.log(event="delivery.created")
    shown = hooks.api.get(f"/api/webhook-deliveries/{logged['id']}").json
    assert shown["body"].encode() == receiver.requests[0].body
    assert [(one["outcome"], one["error_class"], one["error"]) for one in shown["attempts_made"]] == [
        ("temporary", "http_500", "500 Out of order"),
        ("sent", None, None),
    ]


def test_an_unanswered_webhook_goes_again(hooks, receiver, travel):
    """Receivers know it by its id: twice is harmless, never is not."""
    hooks.active()
    receiver.reset()
    hooks.api.create()
    hooks.drain()
    travel(seconds=10)
    hooks.drain()
    assert len({request.id for request in receiver.requests}) == 1
    assert len(receiver.requests) == 2


def test_retry_after_wins_over_the_ladder(hooks, receiver, travel):
    hooks.active()
    receiver.limit(600)
    hooks.api.create()
    hooks.drain()
    travel(seconds=500)
    hooks.drain()
    assert len(receiver.requests) == 1
    travel(seconds=110)
    hooks.drain()
    assert len(receiver.requests) == 2


def test_an_endpoint_that_is_gone_is_disabled_and_its_owner_told(hooks, receiver, people, app, capsys):
    made = hooks.active()
    receiver.gone(times=None)
    for _ in range(3):
        hooks.api.create()
    hooks.drain()
    shown = hooks.show(made)
    assert (shown["status"], shown["disabled_reason"]) == ("disabled", "gone")
    assert {state for state, _ in statuses(hooks)} <= {"failed", "suppressed"}
    acts = [entry["act"] for entry in people.admin().get("/api/audit").json["items"]]
    assert acts.count("webhook_endpoint.disabled") == 1
    [mail] = [one for one in run_json(app, "notifications", "list", "--channel", "mail") if "webhook" in one["event"]]
    assert mail["recipient_id"] == hooks.api.user_id
    with app.app_context():
        deliver("mail", seconds=5)
    assert f"{receiver.url}/hook\n" in capsys.readouterr().out


def test_five_days_of_failure_disable_and_one_success_does_not(hooks, receiver, app, travel):
    made = hooks.active()
    hooks.api.create()
    receiver.fail(500, times=None)
    hooks.drain()
    travel(days=4)
    hooks.drain()
    receiver.script.clear()
    travel(days=1.5)
    hooks.drain()
    assert state_of(app) == "sent"
    assert status_of(app, made) == ("active", None)

    receiver.fail(500, times=None)
    with_event(app, hooks)
    hooks.drain()
    travel(days=5, minutes=1)
    hooks.drain()
    assert status_of(app, made) == ("disabled", "failing")


def with_event(app, hooks):
    """A new event of the owner's, whose session has expired."""
    with app.app_context(), transaction():
        fields = {"item_name": "x", "recipient_name": "y", "destination": {}, "requirements": {}}
        creating.create(SYSTEM, draft=False, owner_id=UUID(hooks.api.user_id), recipient_locale="en", **fields)


def status_of(app, made):
    shown = run_json(app, "webhooks", "show", made["id"])
    return shown["status"], shown["disabled_reason"]


def state_of(app):
    [message] = [one for one in run_json(app, "notifications", "list") if one["event"] == "delivery.created"]
    return message["state"]


def test_what_a_disabled_endpoint_missed_can_be_replayed(hooks, receiver):
    made = hooks.active()
    receiver.gone()
    hooks.api.create()
    hooks.drain()
    hooks.api.create()  # nobody is told, and no row says so
    receiver.requests.clear()
    problem(hooks.post(made, "replay", since=made["created_at"]), 409, "not_active")

    assert hooks.post(made, "enable").json["status"] == "unverified"
    problem(hooks.post(made, "enable"), 409, "not_disabled")
    hooks.drain()
    replayed = hooks.post(made, "replay", since=made["created_at"])
    assert (replayed.status_code, replayed.json) == (202, {"repeated": 1, "made": 1, "next_cursor": None})
    hooks.drain()
    assert [request.type for request in receiver.requests] == [
        "endpoint.verify",
        "delivery.created",
        "delivery.created",
    ]


def test_a_range_is_sent_again_in_batches_under_new_ids(hooks, receiver, monkeypatch):
    made = hooks.active()
    for number in range(3):
        hooks.api.create(reference=f"R-{number}")
    hooks.drain()
    first = list(receiver.requests)
    receiver.requests.clear()
    monkeypatch.setattr("delivery.webhooks.replaying.BATCH_SIZE", 2)
    page = hooks.post(made, "replay", since=made["created_at"]).json
    assert (page["repeated"], page["made"]) == (2, 0)
    rest = hooks.post(made, "replay", since=made["created_at"], cursor=page["next_cursor"]).json
    assert rest == {"repeated": 1, "made": 0, "next_cursor": None}
    hooks.drain()
    again = receiver.requests
    assert sorted(request.body for request in again) == sorted(request.body for request in first)
    assert {request.id for request in again}.isdisjoint({request.id for request in first})
    assert {one["resend_of"] for one in hooks.log(limit=3)} == {request.id for request in first}


def test_what_is_on_its_way_is_not_replayed(hooks, receiver):
    made = hooks.active()
    hooks.api.create()
    assert hooks.post(made, "replay", since=made["created_at"]).json == {"repeated": 0, "made": 0, "next_cursor": None}


def test_a_replay_reaches_back_thirty_days(hooks):
    made = hooks.active()
    assert hooks.post(made, "replay", since="2020-01-01T00:00:00Z").status_code == 422
    assert hooks.post(made, "replay", since="2999-01-01T00:00:00Z").status_code == 422


@pytest.mark.parametrize("status", [410, 204])
def test_one_webhook_is_sent_again(hooks, receiver, status):
    made = hooks.active()
    if status == 410:
        receiver.gone()
    hooks.api.create()
    hooks.drain()
    [logged] = hooks.log(event="delivery.created")
    if status == 410:
        problem(hooks.api.post(f"/api/webhook-deliveries/{logged['id']}/redeliver"), 409, "not_active")
        hooks.post(made, "enable")
        hooks.drain()
    again = hooks.api.post(f"/api/webhook-deliveries/{logged['id']}/redeliver")
    assert again.status_code == 202
    # One that arrived has been seen under its id; one that did not keeps it.
    assert (again.json["id"] == logged["id"]) == (status == 410)
    problem(hooks.api.post(f"/api/webhook-deliveries/{again.json['id']}/redeliver"), 409, "on_its_way")
    hooks.drain()
    assert receiver.requests[-1].id == again.json["id"]


def test_a_challenge_and_what_was_for_a_deleted_endpoint_are_not_redelivered(hooks):
    made = hooks.active()
    hooks.api.create()
    hooks.drain()
    event, challenge = hooks.log()
    problem(hooks.api.post(f"/api/webhook-deliveries/{challenge['id']}/redeliver"), 409, "challenge")
    hooks.api.delete(f"{ENDPOINTS}/{made['id']}", headers={"If-Match": "*"})
    problem(hooks.api.post(f"/api/webhook-deliveries/{event['id']}/redeliver"), 409, "endpoint_gone")
    assert hooks.log(endpoint_id=made["id"], state="sent") == [event, challenge]


def test_somebody_elses_log_is_not_there(hooks, people):
    hooks.active()
    other = people.admin()
    [logged] = hooks.log()
    for method, path in (("GET", ""), ("POST", "/redeliver")):
        assert other.request(method, f"/api/webhook-deliveries/{logged['id']}{path}").status_code == 404
    assert other.get("/api/webhook-deliveries").json["items"] == []


def test_what_is_replayed_already_is_on_its_way(hooks, receiver):
    made = hooks.active()
    hooks.api.create()
    hooks.drain()
    assert hooks.post(made, "replay", since=made["created_at"]).json["repeated"] == 1
    assert hooks.post(made, "replay", since=made["created_at"]).json["repeated"] == 0
    [copy] = hooks.log(limit=1)
    hooks.drain()
    hooks.api.post(f"/api/webhook-deliveries/{copy['id']}/redeliver")  # a copy of the copy
    assert hooks.post(made, "replay", since=made["created_at"]).json["repeated"] == 0
    hooks.drain()
    assert len(receiver.requests) == 3


def test_an_old_url_that_is_gone_says_nothing_of_the_new_one(hooks, receiver):
    made = hooks.active(path="/old")
    hooks.api.create()

    def answer_when_it_has_moved(handler):
        hooks.api.patch(f"{ENDPOINTS}/{made['id']}", json={"url": f"{receiver.url}/new"}, headers={"If-Match": "*"})
        wait_until(lambda: hooks.show(made)["status"] == "active", what="the answer to the challenge", seconds=10)
        handler.answer(410, b"", {})

    receiver.script.add(answer_when_it_has_moved, times=1, when=lambda path: path == "/old")
    hooks.drain()
    assert statuses(hooks) == [("failed", "http_410")]
    assert hooks.show(made)["status"] == "active"
    receiver.gone(path="/new")
    hooks.api.create()
    hooks.drain()
    assert hooks.show(made)["disabled_reason"] == "gone"


def test_a_new_url_that_answers_its_challenge_so_is_gone(hooks, receiver):
    receiver.gone(path="/new")
    made = hooks.make(path="/new")
    hooks.drain()
    assert hooks.show(made)["disabled_reason"] == "gone"


def test_what_was_never_sent_is_redelivered_under_its_own_id(hooks, receiver):
    hooks.make()
    receiver.answers_challenges = False
    hooks.api.create()
    hooks.drain()
    [never] = hooks.log(event="delivery.created")
    assert (never["state"], never["attempts"]) == ("suppressed", 0)
    receiver.clear()
    hooks.api.post(f"{ENDPOINTS}/{never['endpoint_id']}/verify")
    hooks.drain()
    assert hooks.api.post(f"/api/webhook-deliveries/{never['id']}/redeliver").json["id"] == never["id"]
    hooks.drain()
    assert receiver.requests[-1].id == never["id"]
