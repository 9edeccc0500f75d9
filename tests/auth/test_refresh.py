"""Refreshing: each token is of use once, a lost answer costs nothing, and a token that was stolen costs its session."""

import hashlib
import re
from uuid import UUID

import pytest
from sqlalchemy import delete, select, update

from delivery import notifications
from delivery.auth import sessions
from delivery.auth.models import AuthSession, RefreshToken
from delivery.auth.refresh_tokens import GRACE_SECONDS
from delivery.database import db, now, transaction
from delivery.notifications.channels.memory import MemoryTransport
from delivery.notifications.jobs import deliver
from delivery.notifications.models import OutboxMessage
from delivery.notifications.states import Channel
from delivery.subscriptions import COMPOSERS
from delivery.users.models import User
from tests.auth.signing_in import as_granted, login, refresh, signed_in_again
from tests.web.answers import problem, wrong

SEEN = {"If-Match": "*"}


@pytest.fixture
def ada(people):
    return people.customer(email="ada@shop.example")


@pytest.fixture
def acts(people):
    """Call it for what the audit log tells about a user's sessions, the oldest first."""
    admin = people.admin()
    return lambda user: [
        one["act"]
        for one in reversed(admin.get("/api/audit?act=session.*&limit=100").json["items"])
        if one["object_id"] == user.user_id
    ]


def refreshed(client, token):
    response = refresh(client, token)
    assert response.status_code == 200, response.text
    return response.json


def refused(response):
    assert response.headers["WWW-Authenticate"] == 'Bearer error="invalid_token"'
    return {**problem(response, 401, "invalid_refresh_token"), "request_id": ""}


def mails(app):
    with app.app_context():
        return db.session.execute(select(OutboxMessage.template)).scalars().all()


def rows(app):
    with app.app_context():
        return db.session.execute(RefreshToken.__table__.select()).all()


def test_a_refresh_gives_new_tokens_of_the_same_session(client, ada):
    response = refresh(client, ada.refresh_token)

    assert response.headers["Cache-Control"] == "no-store"
    granted = response.json
    assert granted.keys() == {"access_token", "token_type", "expires_in", "refresh_token"}
    assert (granted["token_type"], granted["expires_in"]) == ("Bearer", 1800)
    assert granted["refresh_token"] != ada.refresh_token
    again = as_granted(ada, granted)
    [session] = again.get("/api/auth/sessions").json["items"]
    assert session["current"] is True
    assert ada.get("/api/auth/me").status_code == 200, "the access token that it had lives until it is of age"


def test_a_form_refreshes(client, ada):
    form = {"grant_type": "refresh_token", "refresh_token": ada.refresh_token, "client_id": "x", "scope": ""}
    granted = client.post("/api/auth/refresh", data=form)
    assert granted.status_code == 200, granted.text
    assert refresh(client, granted.json["refresh_token"]).status_code == 200


def test_a_token_is_256_random_bits_and_says_what_it_is(client, ada):
    successor = refreshed(client, ada.refresh_token)["refresh_token"]
    tokens = {ada.refresh_token, successor, signed_in_again(ada).refresh_token}
    assert len(tokens) == 3
    assert all(re.fullmatch(r"rt_[A-Za-z0-9_-]{43}", token) for token in tokens)


def test_no_token_is_stored(app, client, ada):
    successor = refreshed(client, ada.refresh_token)["refresh_token"]
    stored = rows(app)
    assert {row.hash for row in stored} == {hashlib.sha256(t.encode()).digest() for t in (ada.refresh_token, successor)}
    for token in (ada.refresh_token, successor):
        assert token.encode() not in repr(stored).encode()


def test_a_successor_takes_the_old_token_the_row_and_the_key(make_app, client, ada):
    """Another SECRET_KEY makes another successor of the same token and row: the lost answer is lost for good."""
    refreshed(client, ada.refresh_token)
    other = make_app(SECRET_KEY="another key of thirty-two bytes or more").test_client()
    refused(refresh(other, ada.refresh_token))


def test_tokens_follow_each_other(client, ada):
    token = ada.refresh_token
    for _ in range(5):
        granted = refreshed(client, token)
        assert as_granted(ada, granted).get("/api/auth/me").status_code == 200
        token = granted["refresh_token"]


def test_what_is_missing_is_named(client):
    assert wrong(refresh(client, None)) == {"/refresh_token": "null"}
    assert wrong(client.post("/api/auth/refresh", json={})) == {"/refresh_token": "required"}
    hostile = {"refresh_token": 1, "grant_type": "password", "user_id": "x"}
    assert wrong(client.post("/api/auth/refresh", json=hostile)) == {
        "/refresh_token": "invalid", "/grant_type": "invalid", "/user_id": "unknown",
    }  # fmt: skip


def test_every_token_that_is_of_no_use_gets_the_same_answer(app, people, client, ada):
    admin, asleep, erased = people.admin(), people.customer(), people.customer()
    admin.patch(f"/api/users/{asleep.user_id}", json={"active": False}, headers=SEEN)
    admin.delete(f"/api/users/{erased.user_id}", headers=SEEN)
    out = people.customer()
    out.post("/api/auth/logout")
    answers = [
        refresh(client, token)
        for token in (
            "", " ", "rt_", "x", "é", "rt_" + 43 * "A", ada.refresh_token + "x", ada.refresh_token[:-1], "x" * 1000,
            ada.refresh_token.swapcase(), ada.headers["Authorization"].removeprefix("Bearer "), ada.user_id,
            asleep.refresh_token, erased.refresh_token, out.refresh_token, "' OR 1=1 --",
        )
    ]  # fmt: skip
    bodies = [refused(answer) for answer in answers]
    assert all(body == bodies[0] for body in bodies)
    assert mails(app) == []
    assert refresh(client, ada.refresh_token).status_code == 200


def test_a_refresh_token_opens_no_door(client, ada):
    problem(client.get("/api/auth/me", headers={"Authorization": f"Bearer {ada.refresh_token}"}), 401)


def test_an_old_access_token_does_not_stand_in_the_way(client, ada):
    """A program sends the header that it has; refreshing is how it gets a better one."""
    header = {"Authorization": "Bearer expired.or.forged"}
    assert refresh(client, ada.refresh_token, headers=header).status_code == 200


def test_a_lost_answer_comes_again(app, client, ada, travel):
    first = refreshed(client, ada.refresh_token)
    travel(seconds=GRACE_SECONDS - 2)
    second = refreshed(client, ada.refresh_token)
    travel(seconds=2 - GRACE_SECONDS)

    assert second["refresh_token"] == first["refresh_token"]
    assert second["access_token"] != first["access_token"]
    assert as_granted(ada, second).get("/api/auth/me").status_code == 200
    assert refresh(client, second["refresh_token"]).status_code == 200
    assert mails(app) == []
    assert len(rows(app)) == 3


def test_a_token_that_comes_again_later_ends_its_session(client, ada, acts, travel):
    other = signed_in_again(ada)
    granted = refreshed(client, ada.refresh_token)
    travel(seconds=GRACE_SECONDS + 1)
    refused(refresh(client, ada.refresh_token))

    for token in (ada.headers["Authorization"], f"Bearer {granted['access_token']}"):
        problem(client.get("/api/auth/me", headers={"Authorization": token}), 401)
    refused(refresh(client, granted["refresh_token"]))
    assert other.get("/api/auth/me").status_code == 200
    assert refresh(client, other.refresh_token).status_code == 200
    assert acts(ada) == ["session.opened", "session.refresh_reused"]


def test_a_token_whose_successor_was_used_ends_its_session_however_soon(app, client, ada, acts):
    granted = refreshed(client, ada.refresh_token)
    newest = refreshed(client, granted["refresh_token"])
    refused(refresh(client, ada.refresh_token))
    refused(refresh(client, newest["refresh_token"]))
    problem(as_granted(ada, newest).get("/api/auth/me"), 401)
    assert acts(ada) == ["session.refresh_reused"]


def test_a_stolen_session_is_told_once(app, client, ada, acts, travel):
    granted = refreshed(client, ada.refresh_token)
    travel(minutes=5)
    for token in 3 * [ada.refresh_token, granted["refresh_token"]]:
        refused(refresh(client, token))
    assert acts(ada) == ["session.refresh_reused"]
    assert mails(app) == ["session_revoked"]


def test_the_owner_is_told_by_mail(app, people, client, ada, travel):
    transport = MemoryTransport()
    notifications.init_app(app, COMPOSERS, transports=dict.fromkeys(Channel, transport))
    admin, gone = people.admin(), people.customer()
    for user in (ada, gone):
        refreshed(client, user.refresh_token)
        travel(minutes=1)
        refused(refresh(client, user.refresh_token))
    admin.delete(f"/api/users/{gone.user_id}", headers=SEEN)
    with app.app_context():
        deliver(Channel.MAIL, seconds=5)
    [(_, letter)] = transport.sent
    assert (letter.address, letter.subject) == ("ada@shop.example", "We ended one of your sessions")
    assert "rt_" not in letter.text


def test_a_session_that_has_ended_is_not_ended_for_theft(app, client, ada, acts):
    refreshed(client, ada.refresh_token)
    ada.post("/api/auth/logout")
    refused(refresh(client, ada.refresh_token))
    assert acts(ada) == ["session.ended"]
    assert mails(app) == []


def test_a_session_ends_when_it_is_idle_for_two_weeks(app, client, ada, travel):
    travel(days=13, hours=23)
    granted = refreshed(client, ada.refresh_token)
    travel(days=13, hours=23)
    granted = refreshed(client, granted["refresh_token"])
    travel(days=14, seconds=1)
    refused(refresh(client, granted["refresh_token"]))
    assert mails(app) == []


def test_a_session_ends_after_ninety_days_whatever_is_done(client, ada, travel):
    token = ada.refresh_token
    for _ in range(8):
        travel(days=11)
        token = refreshed(client, token)["refresh_token"]
    travel(days=1, hours=23, minutes=50)
    granted = refreshed(client, token)
    assert 500 < granted["expires_in"] <= 600, "an access token lives no longer than its session"
    travel(minutes=11)
    refused(refresh(client, granted["refresh_token"]))


def test_shorter_settings_reach_sessions_that_are_open(make_app, client, ada, travel):
    strict = make_app(SESSION_MAX_DAYS="1", REFRESH_TOKEN_IDLE_DAYS="1").test_client()
    token = refreshed(strict, ada.refresh_token)["refresh_token"]
    travel(days=1, seconds=1)
    refused(refresh(strict, token))


def test_a_shorter_life_ends_what_has_lived_longer(make_app, ada, travel):
    strict = make_app(SESSION_MAX_DAYS="1").test_client()
    travel(days=2)
    refused(refresh(strict, ada.refresh_token))


def test_sixty_an_hour_for_each_session(client, ada, travel):
    token = ada.refresh_token
    for _ in range(60):
        token = refreshed(client, token)["refresh_token"]
    limited = refresh(client, token)
    problem(limited, 429, "too_many_requests")
    assert int(limited.headers["Retry-After"]) > 3500
    assert refresh(client, signed_in_again(ada).refresh_token).status_code == 200
    travel(hours=1)
    assert refresh(client, token).status_code == 200


def test_the_limit_hides_no_theft(client, ada, acts, travel):
    token = ada.refresh_token
    for _ in range(60):
        token = refreshed(client, token)["refresh_token"]
    travel(seconds=GRACE_SECONDS + 1)
    problem(refresh(client, token), 429, "too_many_requests")
    refused(refresh(client, ada.refresh_token))
    problem(ada.get("/api/auth/me"), 401)
    assert acts(ada)[-1] == "session.refresh_reused"


@pytest.mark.parametrize(
    "statement",
    [
        update(User).values(active=False),
        update(User).values(epoch=2),
        update(AuthSession).values(revoked_at=now()),
        update(AuthSession).values(expires_at=now(plus=-1)),
        update(RefreshToken).values(expires_at=now(plus=-1)),
        delete(RefreshToken),
        delete(AuthSession),
    ],
    ids=["inactive", "newer epoch", "ended", "session of age", "token of age", "no token", "no session"],
)
def test_each_guard_holds_alone(app, client, ada, statement):
    with app.app_context(), transaction() as session:
        session.execute(statement)
    refused(refresh(client, ada.refresh_token))


def test_a_lost_answer_does_not_come_again_when_the_session_has_ended(app, client, ada):
    refreshed(client, ada.refresh_token)
    with app.app_context(), transaction() as session:
        session.execute(update(User).values(active=False))
    refused(refresh(client, ada.refresh_token))


def test_a_session_that_is_ended_between_two_statements_is_not_rolled_on(app, client, ada, monkeypatch):
    """The token was used up when somebody else ends the session: the session's row has the last word."""
    real = sessions.refresh_tokens.use

    def use(token):
        successor = real(token)
        db.session.execute(update(AuthSession).values(revoked_at=now()))
        return successor

    monkeypatch.setattr(sessions.refresh_tokens, "use", use)
    refused(refresh(client, ada.refresh_token))
    assert len(rows(app)) == 1


def test_a_login_that_overlaps_with_what_ends_all_sessions_leaves_none_alive(app, client, people):
    """It proved an old password or role, and its session was not there yet to be ended."""
    admin, user = people.admin(), people.customer()
    admin.patch(f"/api/users/{user.user_id}", json={"role": "courier"}, headers=SEEN)
    with app.app_context(), transaction():
        late = sessions.open_session(user_id=UUID(user.user_id), epoch=1)
    problem(client.get("/api/auth/me", headers={"Authorization": f"Bearer {late.access_token}"}), 401)
    refused(refresh(client, late.refresh_token))


def test_a_login_gives_a_refresh_token(client, ada):
    granted = login(client, "ada@shop.example").json
    assert refresh(client, granted["refresh_token"]).status_code == 200
