"""A known password, changed: by whoever knows it, and every session ends."""

from uuid import UUID

import pytest
from sqlalchemy import func, select, update

from delivery import limits
from delivery.auth import recovery
from delivery.database import db, transaction
from delivery.errors import Conflict, Unauthorized, Unavailable
from delivery.tokens import Purpose
from delivery.users import passwords
from delivery.users.models import User
from tests.audit.entries import acts
from tests.auth.links import link_token
from tests.auth.signing_in import login, signed_in_again
from tests.factories import PASSWORD
from tests.web.answers import problem, wrong
from tests.web.elsewhere import elsewhere
from tests.web.racing import race

ADDRESS, NEW = "ada@shop.example", "another fine phrase"


@pytest.fixture
def ada(people):
    return people.customer(email=ADDRESS, name="Ada Lovelace")


def change(who, current=PASSWORD, new=NEW, **more):
    body = {"current_password": current, "new_password": new, **more}
    return who.post("/api/auth/change-password", json=body, **elsewhere())


def test_every_session_ends_and_the_new_password_signs_in(app, client, ada, mailbox):
    second, links = signed_in_again(ada), [link_token(app, ADDRESS, Purpose.RESET_PASSWORD)]
    response = change(ada)

    assert response.status_code == 200
    assert "sign in again" in response.json["detail"]
    for session in (ada, second):
        problem(session.get("/api/auth/me"), 401)
    problem(login(client, ADDRESS, PASSWORD, **elsewhere()), 401)
    assert login(client, ADDRESS, NEW, **elsewhere()).status_code == 200
    for token in links:
        body = {"token": token, "password": "a third fine phrase"}
        problem(client.post("/api/auth/reset-password", json=body, **elsewhere()), 400, "invalid_token")
    assert [letter.subject for letter in mailbox()] == ["Your password has been changed"]
    assert [act for act, *_ in acts(app, "password*")] == ["password.changed"]


def test_a_new_password_that_we_are_too_busy_to_hash_is_no_failed_login(app, client, ada, monkeypatch):
    def busy(_):
        raise Unavailable("Too many sign-ins at once; try again.", retry_after_seconds=2)

    with monkeypatch.context() as patched:
        patched.setattr(passwords, "hash_password", busy)
        for _ in range(7):
            problem(change(ada), 503, "unavailable")
    with app.app_context():
        assert db.session.scalar(select(func.count()).select_from(limits.Attempt)) == 0
        assert db.session.scalar(select(limits.Streak.count)) == 0
    assert change(ada).status_code == 200


def test_a_wrong_password_is_a_wrong_field_and_counts(app, client, ada):
    one = elsewhere()
    body = {"current_password": "not my password", "new_password": NEW}
    answers = [ada.post("/api/auth/change-password", json=body, **one) for _ in range(6)]
    assert [wrong(answer) for answer in answers[:5]] == 5 * [{"/current_password": "invalid"}]
    problem(answers[5], 429, "too_many_requests")
    assert [act for act, *_ in acts(app, "password*")] == 5 * ["password.refused"]
    assert ada.get("/api/auth/me").status_code == 200
    assert change(ada).status_code == 200, "from elsewhere"
    assert login(client, ADDRESS, NEW, **one).status_code == 200, "a new password forgives"


def test_what_is_wrong_with_the_new_one_is_said_before_anything_counts(ada):
    for new in ("short", "password1234", "AdaLovelace1815", "ada@shop.example", "x" * 129, "with \0 in the middle"):
        assert wrong(change(ada, "not my password", new)) == {"/new_password": "invalid"}, new
    assert wrong(ada.post("/api/auth/change-password", json={})) == dict.fromkeys(
        ["/current_password", "/new_password"], "required"
    )
    assert wrong(change(ada, more=1)) == {"/more": "unknown"}
    assert change(ada).status_code == 200


def test_nobody_who_is_not_signed_in_changes_a_password(client):
    problem(change(client), 401)


def test_of_two_changes_at_once_one_wins(ada):
    statuses = sorted(
        response.status_code for response in race(*[lambda w=w: change(ada, new=f"fine phrase {w}!") for w in "ab"])
    )
    assert statuses[0] == 200
    assert statuses[1] in {401, 409, 422}


def test_a_change_that_came_too_late_changes_nothing(app, ada):
    with app.app_context():
        seen = recovery.owner(UUID(ada.user_id))
        with transaction() as session:
            session.execute(update(User).values(password_hash="changed meanwhile"))
        with pytest.raises(Conflict), transaction():
            recovery.change(seen, password_hash="later", revoke_api_keys=False)
        assert db.session.execute(select(User.password_hash)).scalar_one() == "changed meanwhile"


def test_an_account_that_was_deactivated_at_this_moment_has_no_owner(app, ada):
    with app.app_context():
        with transaction() as session:
            session.execute(update(User).values(active=False))
        with pytest.raises(Unauthorized):
            recovery.owner(UUID(ada.user_id))


def test_a_barred_account_changes_its_password_by_a_link_only(ada, monkeypatch):
    """NIST SP 800-63B-4, 3.2.2: after 100 wrong guesses in a row the password proves nothing."""
    monkeypatch.setattr(limits, "MOST_IN_A_ROW", 0)
    assert wrong(change(ada)) == {"/current_password": "invalid"}
