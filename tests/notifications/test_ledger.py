"""/api/notifications: who sees which messages, in which order, and what becomes of one that is sent again."""

import uuid

import pytest
from sqlalchemy import insert, select, update

from delivery.audit.queries import entries
from delivery.database import db, now, transaction
from delivery.notifications import jobs
from delivery.notifications.channels import Failure, Letter
from delivery.notifications.models import Breaker, OutboxMessage
from delivery.notifications.registry import each
from delivery.notifications.services import add
from delivery.notifications.states import BREAKER_FAILURES, BREAKER_SECONDS
from tests.deliveries.test_pages import pages
from tests.notifications.conftest import Outbox, new_message, put
from tests.web.answers import problem, wrong

PATH = "/api/notifications"
NEVER_SHOWN = {"lane", "lease_token", "lease_until", "handoff_at", "data", "body", "request_id"}


def told(who, query="", *, path=PATH):
    return [item for page in pages(who, query, path=path) for item in page]


def settle(app, *conditions, state):
    with app.app_context(), transaction() as session:
        changed = update(OutboxMessage).where(*conditions)
        session.execute(changed.values(state=state, settled_at=OutboxMessage.created_at))


def reset_mail(app, who):
    """The mail that somebody asked for to get a new password."""
    email = who.get("/api/auth/me").json["email"]
    assert app.test_client().post("/api/auth/request-password-reset", json={"email": email}).status_code == 202
    with app.app_context(), db.engine.connect() as connection:
        of_template = select(OutboxMessage.id).where(OutboxMessage.template == "reset_password")
        return str(connection.execute(of_template.order_by(OutboxMessage.id.desc())).scalars().first())


@pytest.fixture
def mine(api):
    return api.create(), api


def test_a_customer_sees_what_is_told_about_their_deliveries_and_no_others(mine, people):
    delivery, api = mine
    people.customer().create()
    assert {item["delivery_id"] for item in told(api)} == {delivery["id"]}
    assert [item["audience"] for item in told(api)] == ["recipient", "sender"]


def test_dispatchers_and_admins_see_all_and_couriers_are_refused(mine, people):
    people.customer().create()
    for role in ("dispatcher", "admin"):
        assert len(told(people.make(role))) == 4
    problem(people.courier().get(PATH), 403, "forbidden")


def test_no_address_no_token_and_no_word_of_a_mail_is_shown(mine, people):
    delivery, api = mine
    for who in (api, people.admin()):
        one = who.get(f"{PATH}/{told(who)[0]['id']}")
        for text in (who.get(PATH).text, one.text, who.get(f"/api/deliveries/{delivery['id']}/notifications").text):
            assert "@" not in text
            assert "Grace" not in text
        assert not NEVER_SHOWN & set(one.json)


def test_mails_about_an_account_are_for_its_owner_and_admins(app, people):
    owner, other, dispatcher, admin = people.customer(), people.customer(), people.dispatcher(), people.admin()
    mail = reset_mail(app, owner)
    for who in (owner, admin):
        assert [item["template"] for item in told(who)] == ["reset_password"]
        assert who.get(f"{PATH}/{mail}").status_code == 200
    for who in (other, dispatcher):
        assert told(who) == []
        problem(who.get(f"{PATH}/{mail}"), 404)
        problem(who.post(f"{PATH}/{mail}/resend"), 404)
    own = reset_mail(app, dispatcher)
    assert [item["id"] for item in told(dispatcher)] == [own]
    problem(people.courier().get(f"{PATH}/{mail}"), 404)


def test_nobody_but_an_admin_sends_an_account_mail_again(app, people):
    owner, admin = people.customer(), people.admin()
    mail = reset_mail(app, owner)
    settle(app, OutboxMessage.id == uuid.UUID(mail), state="dead")
    problem(owner.post(f"{PATH}/{mail}/resend"), 403, "forbidden")
    assert admin.post(f"{PATH}/{mail}/resend").status_code == 202


@pytest.mark.parametrize("limit", [1, 2, 3, 100])
def test_pages_are_complete_and_the_newest_come_first(mine, limit):
    _, api = mine
    for _ in range(2):
        api.create()
    found = [item["id"] for item in told(api, f"limit={limit}")]
    assert found == sorted(found, reverse=True)
    assert len(found) == 6


@pytest.mark.parametrize("limit", [1, 2, 100])
def test_pages_of_several_states_are_one_list(app, people, outbox, limit):
    made = [str(put(outbox, state)) for state in ("dead", "sent", "failed", "dead", "uncertain", "failed")]
    admin = people.admin()
    found = told(admin, f"state=dead&state=failed&state=uncertain&limit={limit}")
    assert [item["id"] for item in found] == [one for one in reversed(made) if one != made[1]]


def test_the_list_is_filtered(app, people, outbox, travel, delivery_id):
    dead = put(outbox, "dead", delivery_id=delivery_id, seq=1, audience="sender")
    sms = put(outbox, "pending", channel="sms", event="delivered")
    admin = people.admin()
    travel(minutes=20)
    late = put(outbox, "uncertain")
    noon = outbox.row(late).created_at.isoformat().replace("+00:00", "Z")
    for query, expected in {
        "state=dead": [dead],
        "channel=sms": [sms],
        "event=delivered": [sms],
        "audience=sender": [dead],
        f"delivery_id={delivery_id}": [dead],
        f"since={noon}": [late],
        f"until={noon}": [sms, dead],
        f"since=0001-01-01T00:00:00Z&until={noon}&channel=mail": [dead],
        "until=9999-12-31T23:59:59Z&state=pending": [sms],
        "since=9999-12-31T23:59:59Z": [],
        "event=nothing": [],
    }.items():
        assert [item["id"] for item in told(admin, query)] == [str(one) for one in expected], query


def test_a_bad_filter_is_a_422(people):
    admin = people.admin()
    for query, field in {
        "state=lost": "/state/0",
        "channel=pigeon": "/channel",
        "since=yesterday": "/since",
        "delivery_id=1": "/delivery_id",
        "event=a%00b": "/event",
        "event=": "/event",
        "owner_id=1": "/owner_id",
        "limit=0": "/limit",
    }.items():
        [pointer] = wrong(admin.get(f"{PATH}?{query}"))
        assert pointer.startswith(field), query
    problem(admin.get(f"{PATH}?cursor=x"), 400, "bad_cursor")


def test_a_delivery_lists_its_own_messages(mine, people):
    delivery, api = mine
    api.create()
    path = f"/api/deliveries/{delivery['id']}/notifications"
    assert [len(page) for page in pages(api, "limit=1", path=path)] == [1, 1]
    assert {item["delivery_id"] for item in api.get(path).json["items"]} == {delivery["id"]}
    problem(people.customer().get(path), 404)
    assert wrong(api.get(f"{path}?delivery_id={delivery['id']}")) == {"/delivery_id": "unknown"}


def test_a_message_tells_of_its_attempts_and_why_it_was_not_sent(app, people, mine):
    _, api = mine
    with app.app_context():
        outbox = Outbox(app)
        outbox.mail.failures += [Failure("smtp_550", "no user ***", permanent=True)] * 2
        outbox.composers["created"] = each(lambda _: Letter("a@b.example", "x"))
        jobs.deliver("mail", seconds=20)
    message = told(api)[0]
    assert (message["state"], message["next_at"]) == ("failed", None)
    assert message["reason"] == "Refused for good: the mail server does not take it (smtp_550)."
    for who, error in ((api, None), (people.dispatcher(), "no user ***")):
        [attempt] = who.get(f"{PATH}/{message['id']}").json["attempts_made"]
        assert (attempt["number"], attempt["outcome"], attempt["error"]) == (1, "permanent", error)
        assert attempt["started_at"] <= attempt["ended_at"]


def test_sending_again_is_one_effect_for_one_key_and_stands_in_the_audit_log(app, mine):
    _, api = mine
    message = told(api, "limit=1")[0]["id"]
    settle(app, OutboxMessage.id == uuid.UUID(message), state="sent")
    headers = {"Idempotency-Key": "k"}
    first = api.post(f"{PATH}/{message}/resend", headers=headers)
    assert (first.status_code, first.json["resend_of"], first.json["state"]) == (202, message, "pending")
    assert first.headers["Location"] == f"{PATH}/{first.json['id']}"
    again = api.post(f"{PATH}/{message}/resend", headers=headers)
    assert (again.json, again.headers["Idempotent-Replayed"]) == (first.json, "true")
    assert len(told(api)) == 3
    with app.app_context():
        found = [one for one in entries(before=None, limit=9) if one.act == "message.resent"]
    assert [(str(one.object_id), one.details, str(one.actor_id)) for one in found] == [
        (message, {"sent_as": first.json["id"]}, api.user_id)
    ]


def test_what_did_not_arrive_goes_out_under_its_own_id(app, mine):
    _, api = mine
    message = told(api, "limit=1")[0]["id"]
    settle(app, OutboxMessage.id == uuid.UUID(message), state="dead")
    response = api.post(f"{PATH}/{message}/resend")
    assert (response.json["id"], response.json["state"]) == (message, "pending")


@pytest.mark.parametrize("state", ["pending", "sending", "suppressed", "superseded", "cancelled"])
def test_what_waits_or_was_never_to_be_sent_is_a_409_with_its_state(people, outbox, state):
    message = put(outbox, state)
    body = problem(people.admin().post(f"{PATH}/{message}/resend"), 409, "not_resendable")
    assert body["state"] == state


def test_a_message_that_retention_took_meanwhile_is_a_404(people, outbox, monkeypatch):
    message = put(outbox, "dead")
    admin = people.admin()
    row = outbox.row(message)
    with db.engine.begin() as connection:
        connection.execute(OutboxMessage.__table__.delete())
    monkeypatch.setattr("delivery.notifications.access.message_by_id", lambda _: row)
    problem(admin.post(f"{PATH}/{message}/resend"), 404)


def test_a_list_costs_the_same_for_one_and_for_many(app, people, outbox, count_statements):
    admin = people.admin()
    costs = []
    for count in (1, 30):
        with transaction():
            add([new_message() for _ in range(count)])
        with count_statements() as statements:
            admin.get(f"{PATH}?state=pending&state=dead")
        costs.append(len(statements))
    assert costs[0] == costs[1]


def test_what_waits_for_a_paused_provider_says_so_until_the_pause_is_over(mine, app, travel):
    delivery, api = mine
    with app.app_context(), transaction() as session:
        pause = {"key": "mail:smtp", "failures": BREAKER_FAILURES, "changed_at": now()}
        session.execute(insert(Breaker).values(**pause, paused_until=now(plus=BREAKER_SECONDS)))
    [one, other] = told(api)
    assert one["error_class"] == other["error_class"] == "paused"
    assert one["reason"].startswith("Not sent yet: the other side failed ten times in a row")
    assert {item["reason"] for item in told(api, path=f"/api/deliveries/{delivery['id']}/notifications")} == {
        one["reason"]
    }
    assert api.get(f"{PATH}/{one['id']}").json["reason"] == one["reason"]
    travel(seconds=BREAKER_SECONDS + 1)
    assert {item["reason"] for item in told(api)} == {None}


def test_only_what_waits_for_the_paused_endpoint_says_so(outbox, app, people):
    paused, well = uuid.uuid4(), uuid.uuid4()
    for endpoint in (paused, well):
        put(outbox, "pending", channel="webhook", template="webhook", audience="endpoint", recipient_id=endpoint)
    with app.app_context(), transaction() as session:
        pause = {"key": f"webhook:{paused}", "failures": BREAKER_FAILURES, "changed_at": now()}
        session.execute(insert(Breaker).values(**pause, paused_until=now(plus=BREAKER_SECONDS)))
    assert {item["recipient_id"]: item["error_class"] for item in told(people.admin())} == {
        str(paused): "paused",
        str(well): None,
    }
