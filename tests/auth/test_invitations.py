"""Invitations: an admin asks somebody in, with a role; the newest link works once, for seven days, for nobody else."""

import re
import time
from collections import Counter
from uuid import UUID

import pytest
from itsdangerous import TimestampSigner
from sqlalchemy import select

from delivery.auth import invitations
from delivery.auth.models import Invitation
from delivery.database import db, transaction
from delivery.notifications.models import OutboxMessage
from delivery.ops.housekeeping import Housekeeping
from delivery.privacy.sources import OF_ACCOUNT, rows
from delivery.tokens import Purpose, issue
from delivery.users import passwords
from tests.audit.entries import acts
from tests.auth.invitations import KIM, PASSWORD, accept, invite, invited
from tests.auth.links import link_token, register
from tests.auth.signing_in import login
from tests.factories import People
from tests.privacy.canaries import dump, url_of
from tests.web.answers import problem, wrong
from tests.web.elsewhere import elsewhere
from tests.web.hostile import A_FEW, EVERYTHING
from tests.web.racing import race

ANY = {"If-Match": "*"}
WEEK = {"days": 7}


@pytest.fixture
def admin(people):
    return people.admin()


def refused(response):
    return {**problem(response, 400, "invalid_token"), "request_id": ""}


def revoke(admin, invitation, **headers):
    return admin.delete(f"/api/invitations/{invitation['id']}", headers=headers or ANY)


def state(app, invitation):
    return invitations.state_of(row(app, invitation))


def row(app, invitation):
    with app.app_context():
        return db.session.get(Invitation, UUID(invitation["id"]))


def later(app, email=KIM, role="courier"):
    """Invite somebody when time has moved on and nobody is signed in any more; id and token."""
    with app.app_context(), transaction():
        made = invitations.invite(email=email, role=role)
        return {"id": str(made.id), "token": issue(Purpose.INVITATION, {"id": str(made.id), "nonce": made.nonce})}


@pytest.mark.parametrize("mode", ["open", "invitation", "closed"])
def test_the_way_from_invitation_to_the_first_sign_in(make_app, mode):
    app = make_app(REGISTRATION=mode, REQUIRE_VERIFIED_EMAIL="true")
    client, admin = app.test_client(), People(app).admin()
    response = accept(client, invited(admin, role="dispatcher", name="Kim W.")["token"], name="Kim Wheels")

    assert response.status_code == 201
    kim = response.json
    assert (kim["name"], kim["email"], kim["role"], kim["active"]) == ("Kim Wheels", KIM, "dispatcher", True)
    assert kim["email_verified_at"] is not None
    assert (response.headers["Location"], response.headers["ETag"]) == (f"/api/users/{kim['id']}", '"1"')
    assert login(client, KIM, PASSWORD).status_code == 200
    assert admin.get(f"/api/users/{kim['id']}").json == kim


def test_the_mail_carries_the_link_to_the_page_and_the_page_the_form(app, client, admin, mailbox):
    invite(admin, email=" Kim@Wheels.EXAMPLE ", name="Kim <b>W</b>")
    [letter] = mailbox()
    assert letter.address == KIM
    assert "<b>" not in letter.html
    assert "as courier" in letter.text
    link = re.search(r"http\S+", letter.text)[0]
    assert link.startswith(app.config["PUBLIC_BASE_URL"] + "/api/auth/accept-invitation?token=")

    page = client.get(link.removeprefix(app.config["PUBLIC_BASE_URL"]))
    assert page.status_code == 200
    assert page.headers["Cache-Control"] == "no-store"
    assert page.headers["Referrer-Policy"] == "no-referrer"
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]
    for name in ("name", "password"):
        assert f'<label for="{name}">' in page.text
        assert re.search(rf'<input type="\w+" id="{name}"[^>]* required', page.text)
    form = dict(re.findall(r'name="(\w+)" value="([^"]+)"', page.text)) | {"name": "Kim", "password": PASSWORD}
    done = client.post(re.search(r'action="([^"]+)"', page.text)[1], data=form)
    assert (done.status_code, done.mimetype) == (200, "text/html")
    assert PASSWORD not in done.text
    assert login(client, KIM, PASSWORD).status_code == 200


def test_looking_at_a_link_uses_nothing_up_whatever_it_holds(app, client, admin):
    made = invited(admin)
    for method in ("GET", "HEAD"):
        assert client.open(f"/api/auth/accept-invitation?token={made['token']}&utm=x", method=method).status_code == 200
    page = client.get("/api/auth/accept-invitation?token=%22%3E%3Cscript%3Ealert(1)%3C/script%3E")
    assert page.status_code == 200
    assert "<script" not in page.text
    assert state(app, made) == "open"
    assert accept(client, made["token"]).status_code == 201


def test_links_that_do_not_work_all_fail_the_same(app, client, admin, people):
    older = invited(admin)
    newest = invited(admin)
    other = invited(admin, email="max@wheels.example")
    gone = invited(admin, email="gone@wheels.example")
    assert revoke(admin, gone).status_code == 204
    register(client, "new@shop.example")
    with app.app_context():
        good = {"id": newest["id"], "nonce": row(app, newest).nonce}
        forged = [
            issue(Purpose.VERIFY_EMAIL, good), issue(Purpose.INVITATION, {**good, "nonce": row(app, other).nonce}),
            issue(Purpose.INVITATION, {**good, "nonce": None}), issue(Purpose.INVITATION, {**good, "id": other["id"]}),
        ]  # fmt: skip
    token = newest["token"]
    dead = [
        older["token"], gone["token"], *forged, link_token(app, "new@shop.example"), token[:20], "x", "", "é.ü.ß",
        token[:-5] + ("A" if token[-5] != "A" else "B") + token[-4:],
        people.customer().headers["Authorization"].removeprefix("Bearer "),
    ]  # fmt: skip
    bodies = []
    for one in dead:
        body = {"token": one, "name": "Kim", "password": PASSWORD}
        bodies.append(refused(client.post("/api/auth/accept-invitation", json=body, **elsewhere())))
    assert accept(client, token).status_code == 201
    bodies.append(refused(accept(client, token)))
    assert all(body == bodies[0] for body in bodies)


def test_a_link_for_another_purpose_is_none_for_this_one(app, client, admin):
    token = invited(admin)["token"]
    refused(client.post("/api/auth/verify-email", json={"token": token}))
    assert accept(client, token).status_code == 201


def test_a_link_dies_after_seven_days(app, client, admin, travel, monkeypatch):
    made = invited(admin)
    after = int(time.time()) + 7 * 24 * 3600 + 60
    monkeypatch.setattr(TimestampSigner, "get_timestamp", lambda _: after)
    refused(accept(client, made["token"]))
    monkeypatch.undo()
    travel(**WEEK, minutes=-1)
    assert state(app, made) == "open"
    travel(minutes=2)
    refused(accept(client, made["token"]))
    assert state(app, made) == "expired"


def test_an_expired_invitation_makes_room_for_another(app, client, admin, travel):
    invite(admin)
    travel(days=8)
    made = later(app)
    assert accept(client, made["token"]).status_code == 201


def test_a_mail_that_waited_brings_the_newest_link_and_the_older_ones_stay_away(app, client, admin, mailbox):
    older, newest = invite(admin), invite(admin, role="dispatcher")
    [letter] = mailbox()
    token = re.search(r"token=(\S+)", letter.text)[1]
    assert accept(client, token).json["role"] == "dispatcher"
    assert (state(app, older), state(app, newest)) == ("revoked", "accepted")
    with app.app_context():
        told = db.session.execute(select(OutboxMessage).order_by(OutboxMessage.id)).scalars().all()
    assert [(one.state, one.error_class) for one in told] == [("suppressed", "no_open_invitation"), ("sent", None)]
    assert not [one for one in told if token[:20] in str(vars(one)) or KIM in str(vars(one))]


def test_a_mail_to_somebody_who_is_no_longer_invited_is_not_sent(admin, mailbox):
    revoke(admin, invite(admin))
    assert mailbox() == []


def test_an_address_with_an_account_is_not_invited(admin, people):
    people.customer(email=KIM)
    problem(admin.post("/api/invitations", json={"email": "KIM@wheels.example", "role": "courier"}), 409, "email_taken")
    assert admin.get("/api/invitations").json["items"] == []


def test_a_link_to_an_address_that_got_an_account_meanwhile_is_dead(app, client, admin, people):
    made = invited(admin)
    people.customer(email=KIM)
    refused(accept(client, made["token"]))
    assert state(app, made) == "open", "what was refused left nothing"
    assert acts(app, "invitation.accepted") == []


def test_one_of_many_who_use_a_link_at_once_gets_the_account(app, admin):
    made = invited(admin)
    responses = race(*[lambda: accept(app.test_client(), made["token"])] * 10)
    assert Counter(response.status_code for response in responses) == {201: 1, 400: 9}


def test_of_many_invitations_at_once_one_is_open(app, people):
    admins = [people.admin() for _ in range(6)]
    body = {"email": KIM, "role": "courier"}
    responses = race(*[lambda who=who: who.post("/api/invitations", json=body) for who in admins])
    assert {response.status_code for response in responses} <= {201, 409}
    for response in responses:
        if response.status_code == 409:
            problem(response, 409, "lost_race")
    assert len(admins[0].get("/api/invitations?state=open").json["items"]) == 1


def test_of_a_revocation_and_an_acceptance_one_wins(app, admin):
    made = invited(admin)
    responses = race(lambda: revoke(admin, made), lambda: accept(app.test_client(), made["token"]))
    assert [response.status_code for response in responses] in ([204, 400], [409, 201])


def test_what_is_revoked_while_the_password_is_hashed_makes_no_account(client, admin, monkeypatch):
    made, hash_password = invited(admin), passwords.hash_password

    def slowly(password):
        assert revoke(admin, made).status_code == 204
        return hash_password(password)

    monkeypatch.setattr(passwords, "hash_password", slowly)
    refused(accept(client, made["token"]))
    assert admin.get("/api/users?role=courier").json["items"] == []


def end(people, who, how):
    """Have another admin deactivate, demote or erase somebody."""
    other, path = people.admin(), f"/api/users/{who.user_id}"
    if how == "erased":
        response = other.delete(path, headers=ANY)
    else:
        response = other.patch(path, json={"active": False} if how == "inactive" else {"role": "customer"}, headers=ANY)
    assert response.status_code in {200, 204}, response.text


@pytest.mark.parametrize("how", ["inactive", "demoted", "erased"])
def test_a_link_does_not_outlive_the_admin_who_sent_it(client, people, admin, how):
    made, others = invited(admin, role="admin"), invited(people.admin(), email="max@wheels.example", role="admin")
    end(people, admin, how)
    dead = refused(accept(client, made["token"]))
    assert dead == refused(accept(client, "x"))
    assert accept(client, others["token"]).status_code == 201


@pytest.mark.parametrize("how", ["inactive", "demoted", "erased"])
def test_an_admin_who_goes_while_the_password_is_hashed_makes_no_admin(client, people, admin, monkeypatch, how):
    made, hash_password = invited(admin, role="admin"), passwords.hash_password
    people.admin()

    def slowly(password):
        monkeypatch.undo()
        end(people, admin, how)
        return hash_password(password)

    monkeypatch.setattr(passwords, "hash_password", slowly)
    refused(accept(client, made["token"]))


def test_an_invitation_by_command_is_nobodys_and_stands(app, client):
    assert accept(client, later(app, role="admin")["token"]).json["role"] == "admin"


def test_revoking_needs_the_version_and_is_done_once(app, admin):
    made = invite(admin)
    path = f"/api/invitations/{made['id']}"
    problem(admin.delete(path), 428)
    problem(revoke(admin, made, **{"If-Match": '"7"'}), 412)
    assert revoke(admin, made, **{"If-Match": '"1"'}).status_code == 204
    problem(revoke(admin, made, **{"If-Match": '"1"'}), 412)
    assert revoke(admin, made).status_code == 204, "it is as it should be"
    assert [act for act, *_ in acts(app, "invitation.*")] == ["invitation.sent", "invitation.revoked"]
    problem(admin.delete("/api/invitations/01890a5d-ac96-774b-bcce-b302099a8057", headers=ANY), 404)


def test_what_was_accepted_cannot_be_revoked(client, admin):
    made = invited(admin)
    accept(client, made["token"])
    problem(revoke(admin, made), 409, "invitation_accepted")


def test_admins_alone_see_and_send_invitations(people, client, admin):
    made = invite(admin)
    path = f"/api/invitations/{made['id']}"
    for who in (people.customer(), people.courier(), people.dispatcher()):
        problem(who.post("/api/invitations", json={}), 403, "forbidden")
        problem(who.get("/api/invitations"), 403, "forbidden")
        problem(who.get(path), 404, "not_found")
        problem(who.delete(path, headers=ANY), 404, "not_found")
    problem(client.get("/api/invitations"), 401)
    problem(client.post("/api/invitations", json={"email": KIM, "role": "admin"}), 401)


def test_what_admins_see_of_an_invitation(admin):
    response = admin.post("/api/invitations", json={"email": KIM, "role": "courier", "name": "Kim"})
    made = response.json
    assert made.keys() == {
        "id", "email", "name", "role", "state", "invited_by", "user_id", "version", "created_at", "expires_at",
        "accepted_at", "revoked_at",
    }  # fmt: skip
    assert (made["state"], made["invited_by"], made["version"]) == ("open", admin.user_id, 1)
    assert response.headers["Location"] == f"/api/invitations/{made['id']}"
    read = admin.get(response.headers["Location"])
    assert (read.json, read.headers["ETag"]) == (made, '"1"')
    assert admin.get(response.headers["Location"], headers={"If-None-Match": '"1"'}).status_code == 304


def test_the_list_has_pages_and_is_filtered_by_state(app, client, admin, travel):
    travel(days=-8)
    expired = later(app, email="old@x.example")
    travel(days=8)
    accepted, revoked = invited(admin, email="in@x.example"), invite(admin, email="out@x.example")
    accept(client, accepted["token"])
    revoke(admin, revoked)
    waiting = [invite(admin, email=f"kim{number}@x.example") for number in range(3)]

    def listed(query):
        return [item["id"] for item in admin.get(f"/api/invitations?{query}").json["items"]]

    assert listed("state=expired") == [expired["id"]]
    assert listed("state=accepted") == [accepted["id"]]
    assert listed("state=revoked") == [revoked["id"]]
    assert listed("state=open") == [one["id"] for one in reversed(waiting)]
    seen, cursor = [], ""
    while cursor is not None:
        page = admin.get(f"/api/invitations?limit=2{cursor and f'&cursor={cursor}'}").json
        seen += [item["id"] for item in page["items"]]
        cursor = page["next_cursor"]
    assert seen == [one["id"] for one in [*reversed(waiting), revoked, accepted, expired]]


def test_a_repeat_under_one_key_invites_once(app, admin):
    options = {"json": {"email": KIM, "role": "courier"}, "headers": {"Idempotency-Key": "k1"}}
    first, again = admin.post("/api/invitations", **options), admin.post("/api/invitations", **options)
    assert again.headers["Idempotent-Replayed"] == "true"
    assert first.json == again.json
    assert [act for act, *_ in acts(app, "invitation.*")] == ["invitation.sent"]


def test_each_step_is_written_down_without_a_word_about_the_person(app, client, admin):
    older, made = invite(admin), invited(admin, role="dispatcher")
    kim = accept(client, made["token"]).json
    told = [(act, str(object_id), details) for act, object_id, details in acts(app, "invitation.*")]
    assert told == [
        ("invitation.sent", older["id"], {"role": "courier", "replaces": None}),
        ("invitation.sent", made["id"], {"role": "dispatcher", "replaces": older["id"]}),
        ("invitation.accepted", made["id"], {"user_id": kim["id"]}),
    ]
    assert [act for act, *_ in acts(app, of=kim["id"])] == ["user.created"]
    assert KIM not in str(told)


def test_from_one_address_ten_tries_in_ten_minutes(client, admin, travel):
    made = invited(admin)
    for _ in range(10):
        refused(accept(client, "x"))
    problem(accept(client, made["token"]), 429, "too_many_requests")
    travel(minutes=10, seconds=1)
    assert accept(client, made["token"]).status_code == 201


def test_what_does_not_make_an_account_is_named_and_may_be_sent_again(client, admin):
    made = invited(admin)
    assert wrong(accept(client, made["token"], password="short")) == {"/password": "invalid"}
    assert wrong(accept(client, made["token"], name=" ", role="admin")) == {"/name": "invalid", "/role": "unknown"}
    assert wrong(client.post("/api/auth/accept-invitation", json={})).keys() == {"/token", "/name", "/password"}
    for name in ("email", "id", "active", "version"):
        assert wrong(accept(client, made["token"], **{name: "x"})) == {f"/{name}": "unknown"}
    assert accept(client, made["token"]).json["role"] == "courier"


def test_inviting_refuses_or_keeps_whatever_is_sent(admin):
    for field in ("email", "role", "name"):
        for value in EVERYTHING:
            response = admin.post("/api/invitations", json={"email": KIM, "role": "courier", field: value})
            assert response.status_code in {201, 422}, f"{field} = {value!r:.80}: {response.text:.300}"
    for name in ("id", "nonce", "state", "user_id", "expires_at", "version"):
        assert wrong(admin.post("/api/invitations", json={"email": KIM, "role": "courier", name: "x"})) == {
            f"/{name}": "unknown"
        }
    for query in ("state=lost", "state=", "limit=0", "colour=red", "cursor=x" * 200):
        assert len(wrong(admin.get(f"/api/invitations?{query}"))) == 1, query
    problem(admin.get("/api/invitations?cursor=x"), 400, "bad_cursor")


def test_accepting_survives_whatever_is_sent(client):
    for field in ("token", "name", "password"):
        for value in A_FEW:
            body = {"token": "x", "name": "Kim", "password": PASSWORD, field: value}
            response = client.post("/api/auth/accept-invitation", json=body, **elsewhere())
            assert response.status_code in {400, 422}, f"{field} = {value!r:.80}"


def keep_house(app):
    with app.app_context():
        Housekeeping().do()


def test_the_address_goes_thirty_days_after_the_end(app, client, admin, travel):
    accepted, revoked = invited(admin, email="in@x.example"), invite(admin, email="out@x.example")
    waiting = invite(admin, name="Kim")
    accept(client, accepted["token"])
    revoke(admin, revoked)
    travel(days=30, minutes=-1)
    keep_house(app)
    assert [row(app, one).email for one in (accepted, revoked, waiting)] == ["in@x.example", "out@x.example", KIM]
    travel(minutes=2)
    keep_house(app)
    assert [row(app, one).email for one in (accepted, revoked, waiting)] == [None, None, KIM]
    travel(**WEEK)
    keep_house(app)
    assert (row(app, waiting).email, row(app, waiting).name) == (None, None)
    assert state(app, waiting) == "expired"


def test_whoever_leaves_is_in_no_invitation(app, client, admin):
    accepted, waiting = invited(admin), invited(admin, email="late@x.example")
    other = invite(admin, email="other@x.example")
    kim = accept(client, accepted["token"]).json
    register(client, "late@x.example")
    [late] = admin.get("/api/users?q=late").json["items"]
    for user in (kim, late):
        assert admin.delete(f"/api/users/{user['id']}", headers=ANY).status_code == 204
    assert [row(app, one).email for one in (accepted, waiting, other)] == [None, None, "other@x.example"]
    assert [state(app, one) for one in (accepted, waiting, other)] == ["accepted", "revoked", "open"]
    refused(accept(client, waiting["token"]))


def test_the_saved_answer_of_who_invited_them_goes_with_whoever_leaves(client, admin, app):
    options = {"json": {"email": KIM, "role": "courier"}, "headers": {"Idempotency-Key": "k1"}}
    made = admin.post("/api/invitations", **options).json
    with app.app_context():
        token = issue(Purpose.INVITATION, {"id": made["id"], "nonce": row(app, made).nonce})
    kim = accept(client, token).json
    assert admin.delete(f"/api/users/{kim['id']}", headers=ANY).status_code == 204
    assert [name for name, text in dump(url_of(app)).items() if KIM in text] == []
    problem(admin.post("/api/invitations", **options), 409, "answer_erased")


def test_who_was_invited_gets_that_in_their_export(app, client, admin):
    made = invited(admin, name="Kim W.")
    kim = accept(client, made["token"]).json
    with app.app_context():
        [invitation] = [one for one in OF_ACCOUNT if one.name == "invitations"]
        [held] = rows(invitation, who=UUID(kim["id"]))
    assert (str(held["id"]), held["email"], held["name"], held["role"]) == (made["id"], KIM, "Kim W.", "courier")


def test_a_browser_sees_the_page_again_with_what_is_wrong_and_what_it_typed(client, admin):
    token = invited(admin)["token"]
    form = {"token": token, "name": "Kim <b>", "password": "short"}
    again = client.post("/api/auth/accept-invitation", data=form)
    assert (again.status_code, again.mimetype) == (422, "text/html")
    assert 'value="Kim &lt;b&gt;"' in again.text
    assert f'value="{token}"' in again.text
    assert re.search(r'id="password"[^>]* aria-describedby="error hint" aria-invalid="true"', again.text)
    assert "short" not in again.text.partition("<form")[2]
    unnamed = client.post("/api/auth/accept-invitation", data={**form, "name": " ", "password": PASSWORD})
    assert re.search(r'id="name"[^>]* aria-describedby="error" aria-invalid="true"', unnamed.text)
    dead = client.post("/api/auth/accept-invitation", data={**form, "token": "x", "password": PASSWORD})
    assert (dead.status_code, dead.mimetype) == (400, "text/html")
    assert "<form" not in dead.text


def test_a_password_that_says_who_one_is_is_refused(client, admin):
    token = invited(admin, email="kimberley.wheels@x.example")["token"]
    assert wrong(accept(client, token, password="kimberley.wheels")) == {"/password": "invalid"}
    assert wrong(accept(client, token, password="password1234")) == {"/password": "invalid"}
