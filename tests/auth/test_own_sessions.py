"""Where one is signed in: seen and ended by oneself, and by an admin who helps; by nobody else, and by no key."""

from uuid import UUID

import pytest

from delivery.auth import services
from delivery.auth.models import AuthSession
from delivery.database import db, now, transaction
from delivery.policy import POLICY
from delivery.tokens import Purpose
from delivery.users import passwords
from tests.auth.links import link_token
from tests.auth.signing_in import as_granted, login, refresh, signed_in_again
from tests.factories import PASSWORD
from tests.web.answers import problem, wrong

NOBODYS = "0190a0a0-0000-7000-8000-000000000000"


@pytest.fixture
def ada(people):
    return people.customer(email="ada@shop.example")


def sessions_of(somebody, path="/api/auth/sessions"):
    response = somebody.get(path)
    assert response.status_code == 200, response.text
    return response.json["items"]


def current(somebody):
    [one] = [session["id"] for session in sessions_of(somebody) if session["current"]]
    return one


def acts(admin):
    entries = reversed(admin.get("/api/audit?act=session.*&limit=100").json["items"])
    return [(one["act"], one["actor_id"], one["object_id"], one["details"]) for one in entries]


def test_one_sees_where_one_is_signed_in(ada, people):
    people.customer()
    second = signed_in_again(ada)
    newest, oldest = sessions_of(second)
    assert newest.keys() == {"id", "created_at", "last_used_at", "expires_at", "user_agent", "current"}
    assert (newest["current"], oldest["current"]) == (True, False)
    assert newest["id"] > oldest["id"]
    assert oldest["last_used_at"] == oldest["created_at"]
    assert newest["user_agent"].startswith("Werkzeug/")
    assert [one["current"] for one in sessions_of(ada)] == [False, True]


def test_a_refresh_is_the_last_use_and_rolls_the_end_on(ada, travel):
    [before] = sessions_of(ada)
    travel(days=2)
    granted = refresh(ada.client, ada.refresh_token).json
    travel(days=-2)
    [after] = sessions_of(as_granted(ada, granted))
    assert after["id"] == before["id"]
    assert after["created_at"] == before["created_at"]
    assert after["last_used_at"][:10] > before["last_used_at"][:10]
    assert after["expires_at"][:10] > before["expires_at"][:10]


@pytest.mark.parametrize(
    ("sent", "shown"),
    [
        ("curl/8.1", "curl/8.1"),
        ("x" * 5000, "x" * 200),
        ("a\tb\x7fc\x85d", "abcd"),
        ("\xadBrowser\u00e9", "Browser\u00e9"),
        ("", None),
        ("\x01\x02", None),
    ],
)
def test_a_program_may_call_itself_what_it_likes(client, ada, sent, shown):
    response = login(client, "ada@shop.example", PASSWORD, environ_overrides={"HTTP_USER_AGENT": sent})
    assert response.status_code == 200, response.text
    assert sessions_of(as_granted(ada, response.json))[0]["user_agent"] == shown


def test_the_list_comes_in_pages(ada):
    for _ in range(4):
        signed_in_again(ada)
    found, path = [], "/api/auth/sessions?limit=2"
    while path:
        page = ada.get(path).json
        assert len(page["items"]) <= 2
        found += page["items"]
        path = page["next_cursor"] and f"/api/auth/sessions?limit=2&cursor={page['next_cursor']}"
    ids = [one["id"] for one in found]
    assert len(ids) == 5
    assert ids == sorted(ids, reverse=True)
    assert wrong(ada.get("/api/auth/sessions?limit=101&all=1")) == {"/limit": "invalid", "/all": "unknown"}
    problem(ada.get("/api/auth/sessions?cursor=x"), 400, "bad_cursor")


def test_one_ends_another_session_of_ones_own(ada, people, app):
    admin, second = people.admin(), signed_in_again(ada)
    ended = current(second)
    response = ada.delete(f"/api/auth/sessions/{ended}")

    assert (response.status_code, response.data) == (204, b"")
    problem(second.get("/api/auth/me"), 401)
    problem(refresh(second.client, second.refresh_token), 401)
    assert [one["id"] for one in sessions_of(ada)] == [current(ada)]
    problem(ada.delete(f"/api/auth/sessions/{ended}"), 404)
    assert acts(admin)[-1] == ("session.ended", ada.user_id, ada.user_id, {"session_id": ended})
    with app.app_context():
        assert db.session.get(AuthSession, UUID(ended)).user_agent is None, "nobody needs it any more"


def test_one_may_end_the_session_that_asks(ada):
    assert ada.delete(f"/api/auth/sessions/{current(ada)}").status_code == 204
    problem(ada.get("/api/auth/me"), 401)


def test_nobody_ends_a_session_of_somebody_elses(ada, people):
    session_id = current(ada)
    for stranger in (people.customer(), people.courier(), people.dispatcher(), people.admin()):
        for one in (session_id, NOBODYS):
            problem(stranger.delete(f"/api/auth/sessions/{one}"), 404)
    problem(ada.delete("/api/auth/sessions/1"), 404)
    assert ada.get("/api/auth/me").status_code == 200


def test_logging_out_everywhere_ends_all_of_ones_sessions_and_no_others(ada, people):
    admin, other, second = people.admin(), people.customer(), signed_in_again(ada)
    response = ada.post("/api/auth/logout-all")

    assert (response.status_code, response.data) == (204, b"")
    for session in (ada, second):
        problem(session.get("/api/auth/me"), 401)
        problem(refresh(session.client, session.refresh_token), 401)
    assert other.get("/api/auth/me").status_code == 200
    assert acts(admin)[-1] == ("session.all_ended", ada.user_id, ada.user_id, {"count": 2})
    assert login(ada.client, "ada@shop.example").status_code == 200


def ends_everywhere(ada, admin, by):
    path = f"/api/users/{ada.user_id}/sessions"
    response = ada.post("/api/auth/logout-all") if by == "logout-all" else admin.delete(path)
    assert response.status_code == 204, response.text


@pytest.mark.parametrize("by", ["logout-all", "admin"])
def test_a_login_that_overlaps_with_it_is_ended_too(app, ada, people, monkeypatch, by):
    """The password has been checked, and its session is not there yet to be ended."""
    real, admin = passwords.matches, people.admin()

    def matches(*words):
        right = real(*words)
        monkeypatch.setattr(passwords, "matches", real)
        ends_everywhere(ada, admin, by)
        return right

    monkeypatch.setattr(passwords, "matches", matches)
    late = as_granted(ada, login(app.test_client(), "ada@shop.example").json)
    assert passwords.matches is real, "it overlapped"
    problem(late.get("/api/auth/me"), 401)
    problem(refresh(late.client, late.refresh_token), 401)
    assert signed_in_again(ada).get("/api/auth/me").status_code == 200


@pytest.mark.parametrize("by", ["logout-all", "admin"])
def test_links_in_mails_end_with_it(app, client, ada, people, by):
    tokens = [link_token(app, "ada@shop.example", kind) for kind in (Purpose.RESET_PASSWORD, Purpose.CHANGE_EMAIL)]
    ends_everywhere(ada, people.admin(), by)
    for path, token in zip(("reset-password", "confirm-email"), tokens, strict=True):
        body = {"token": token} | ({"password": "another fine phrase"} if path == "reset-password" else {})
        problem(client.post(f"/api/auth/{path}", json=body), 400, "invalid_token")


def test_of_an_account_that_is_erased_at_this_moment_nothing_is_left_to_end(app, ada):
    assert ada.delete(f"/api/users/{ada.user_id}", headers={"If-Match": "*"}).status_code == 204
    with app.app_context(), transaction():
        services.sign_out_everywhere(UUID(ada.user_id))


def test_logging_out_is_noted(ada, people):
    admin, session_id = people.admin(), current(ada)
    ada.post("/api/auth/logout")
    assert acts(admin) == [("session.ended", ada.user_id, ada.user_id, {"session_id": session_id})]


def test_an_admin_sees_and_ends_the_sessions_of_anybody(ada, people):
    admin, path = people.admin(), f"/api/users/{ada.user_id}/sessions"
    second = signed_in_again(ada)
    assert {one["id"] for one in sessions_of(admin, path)} == {current(ada), current(second)}
    assert not any(one["current"] for one in sessions_of(admin, path))
    assert sessions_of(ada, path) == sessions_of(ada)

    assert admin.delete(path).status_code == 204
    for session in (ada, second):
        problem(session.get("/api/auth/me"), 401)
        problem(refresh(session.client, session.refresh_token), 401)
    assert sessions_of(admin, path) == []
    assert acts(admin)[-1] == ("session.all_ended", admin.user_id, ada.user_id, {"count": 2})


def test_one_may_end_all_of_ones_own_by_that_path_too(ada):
    assert ada.delete(f"/api/users/{ada.user_id}/sessions").status_code == 204
    problem(ada.get("/api/auth/me"), 401)


def test_to_all_others_a_users_sessions_are_not_there(ada, people):
    for stranger in (people.customer(), people.courier(), people.dispatcher()):
        for method in ("GET", "DELETE"):
            problem(stranger.request(method, f"/api/users/{ada.user_id}/sessions"), 404)
            problem(stranger.request(method, f"/api/users/{NOBODYS}/sessions"), 404)
    assert ada.get("/api/auth/me").status_code == 200


def test_sessions_that_have_ended_are_not_shown(app, ada):
    signed_in_again(ada).post("/api/auth/logout")
    of_age = current(signed_in_again(ada))
    with app.app_context(), transaction() as session:
        session.get(AuthSession, UUID(of_age)).expires_at = now(plus=-1)
    assert [one["id"] for one in sessions_of(ada)] == [current(ada)]
    problem(ada.delete(f"/api/auth/sessions/{of_age}"), 404)


def test_no_key_may_look_after_sessions():
    rows = [endpoint for endpoint in POLICY if endpoint.startswith(("sessions.", "auth.log", "auth.refresh"))]
    assert len(rows) == 8
    assert all(POLICY[endpoint].scope is None for endpoint in rows)


def test_a_session_that_ends_at_the_same_moment_is_ended_once(app, ada, people):
    admin, session_id = people.admin(), current(ada)
    with app.test_request_context(), transaction():
        services.sign_out(UUID(ada.user_id), UUID(session_id))
        services.sign_out(UUID(ada.user_id), UUID(session_id))
    assert [act for act, *_ in acts(admin)] == ["session.ended"]
