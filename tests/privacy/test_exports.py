"""What is held about somebody, in one archive: all of theirs, nothing of others', no secret."""

import io
import json
import zipfile
from uuid import UUID

import pytest
from sqlalchemy import select

from delivery.auth.models import AuthSession
from delivery.database import db
from delivery.privacy import sources
from tests.auth.keys import made
from tests.commands import run
from tests.factories import PASSWORD, delivery_in
from tests.privacy.canaries import Canaries, entries, hold
from tests.web.answers import problem

FILES = {
    "account", "former_addresses", "deliveries", "deleted_deliveries", "assigned_deliveries", "events", "messages",
    "sessions", "api_keys", "webhook_endpoints", "invitations", "notification_preferences", "opt_outs",
    "imports", "import_templates", "audit_by_you", "audit_about_you",
}  # fmt: skip


def ask(who, user=None):
    return who.get(f"/api/users/{(user or who).user_id}/export")


def unpacked(data):
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.testzip() is None
        assert archive.namelist()[-1] == "README.txt"
        read = {name: archive.read(name).decode() for name in archive.namelist()}
    readme = read.pop("README.txt")
    assert all(name in readme for name in read)
    return {name.removesuffix(".json"): json.loads(text) for name, text in read.items()}


@pytest.fixture
def ada(people):
    return people.customer(name="Ada Shop", email="ada@shop.example", phone="+442079460001")


def test_an_account_gets_all_that_is_held_about_it(app, people, ada):
    courier, dispatcher = people.courier(), people.dispatcher()
    delivery = ada.create(reference="order-1", tags=["fragile"])
    deleted = ada.create()
    ada.delete(f"/api/deliveries/{deleted['id']}", headers={"If-Match": "*"})
    dispatcher.move(delivery, "assigned", courier_id=courier.user_id, note="for staff")
    ada.move(delivery, "cancelled", note="my own words")

    response = ask(ada)

    assert response.status_code == 200
    assert response.mimetype == "application/zip"
    assert response.headers["Content-Disposition"] == f"attachment; filename=account-{ada.user_id}.zip"
    assert response.headers["Cache-Control"] == "no-store"
    assert int(response.headers["Content-Length"]) == len(response.data)
    held = unpacked(response.data)
    assert held.keys() == FILES
    assert held["account"] == [{**ada.get("/api/auth/me").json, "new_email": None}]
    [told] = held["deliveries"]
    assert (told["id"], told["tags"], told["recipient"]["email"]) == (delivery["id"], ["fragile"], "grace@home.example")
    assert [one["id"] for one in held["deleted_deliveries"]] == [deleted["id"]]
    done = [(one["delivery_id"], one["seq"], one["note"]) for one in held["events"]]
    first, second = delivery["id"], deleted["id"]
    assert done == [(first, 1, None), (first, 3, "my own words"), (second, 1, None), (second, 2, None)]
    assert {(one["template"], one["state"]) for one in held["messages"]} == {
        ("created", "pending"), ("cancelled", "pending"),
    }  # fmt: skip
    assert len(held["sessions"]) == 1
    assert [one["act"] for one in held["audit_by_you"]] == ["user.exported"]
    assert [one["act"] for one in held["audit_about_you"]] == ["user.created", "user.exported"]
    assert held["assigned_deliveries"] == []


def test_a_courier_gets_ids_and_times_of_what_they_carry_and_no_recipient(people, ada):
    courier, dispatcher = people.courier(), people.dispatcher()
    delivery = ada.create()
    dispatcher.move(delivery, "assigned", courier_id=courier.user_id)
    courier.move(delivery, "picked_up")
    data = ask(courier).data
    held = unpacked(data)
    [carried] = held["assigned_deliveries"]
    assert carried.keys() == {"id", "created_at", "picked_up_at", "updated_at"}
    assert held["deliveries"] == []
    text = json.dumps(held)
    assert not [word for word in ("Grace", "grace@home.example", "Harbour", "+4420", "ada@shop") if word in text]


def test_no_secret_is_in_it(app, client, ada):
    client.post("/api/auth/login", json={"email": "ada@shop.example", "password": PASSWORD})
    key = made(ada)
    secret = key["secret"]
    held = unpacked(ask(ada).data)
    assert [one["name"] for one in held["api_keys"]] == [key["name"]]
    text = json.dumps(held)
    for word in ("argon2", "password_hash", "nonce", "token", "hash", "epoch", secret):
        assert word not in text, word


def test_who_may_export_whom(people, ada):
    for who in (people.customer(), people.courier(), people.dispatcher()):
        problem(ask(who, ada), 404)
    assert ask(people.admin(), ada).status_code == 200
    problem(ada.client.get(f"/api/users/{ada.user_id}/export"), 401)


def test_it_is_logged_before_anything_is_handed_out(app, people, ada):
    admin = people.admin()
    ask(admin, ada).close()
    [entry] = entries(app)
    assert (entry.act, str(entry.actor_id), str(entry.object_id)) == ("user.exported", admin.user_id, ada.user_id)


def test_a_long_list_is_read_page_by_page(app, ada, monkeypatch, count_statements):
    monkeypatch.setattr(sources, "PAGE", 2)
    ids = [ada.create()["id"] for _ in range(5)]
    with count_statements() as statements:
        held = unpacked(ask(ada).data)
    assert [one["id"] for one in held["deliveries"]] == ids
    assert [one["delivery_id"] for one in held["events"]] == ids
    assert len(held["messages"]) == 5
    assert all("LIMIT" in one for one in statements if "recipient_name" in one)


def test_a_look_at_the_head_alone_leaves_nothing_open(ada):
    response = ada.request("HEAD", f"/api/users/{ada.user_id}/export")
    assert (response.status_code, response.data) == (200, b"")
    response.close()


def test_a_command_exports_an_account(app, ada, tmp_path):
    file = tmp_path / "ada.zip"
    result = run(app, "privacy", "export", "--user", ada.user_id, "--output", file)
    assert (result.exit_code, result.stdout) == (0, f"Wrote {file}.\n")
    assert unpacked(file.read_bytes())["account"][0]["email"] == "ada@shop.example"
    assert file.stat().st_mode & 0o077 == 0
    again = run(app, "privacy", "export", "--user", ada.user_id, "--output", file)
    assert again.exit_code == 1
    assert "File exists" in again.stderr


def test_a_command_exports_a_recipient_who_has_no_account(app, people, ada, tmp_path):
    grace, other = Canaries("grace"), Canaries("other")
    body = delivery_in(recipient=grace.recipient(), destination=grace.address())
    delivery = ada.post("/api/deliveries", json=body).json
    people.dispatcher().move(delivery, "picked_up", note="for staff", public_note="on its way")
    ada.post("/api/deliveries", json=delivery_in(recipient=other.recipient()))
    for number, who in enumerate((["--email", grace.email], ["--phone", grace.phone])):
        file = tmp_path / f"{number}.zip"
        assert run(app, "privacy", "export", *who, "--output", file).exit_code == 0
        held = unpacked(file.read_bytes())
        [told] = held["deliveries"]
        assert told["recipient"]["name"] == grace["name"]
        assert told["destination"]["line1"] == grace["line1"]
        assert not told.keys() & {"owner_id", "pickup", "reference", "description", "tags"}
        assert [one["public_note"] for one in held["events"]] == [None, "on its way"]
        assert [one["template"] for one in held["messages"]] == ["created"]
        assert "for staff" not in str(held)
        assert other.email not in str(held)
    assert [one.act for one in entries(app)] == ["recipient.exported"] * 2
    assert grace.email not in str([one.details for one in entries(app)])


def test_a_command_exports_who_was_invited_and_whose_address_is_wanted_or_was_had(app, people, ada, tmp_path):
    grace, other, leaving = Canaries("grace"), Canaries("other"), people.customer()
    for who, wanting in ((grace, ada), (other, people.customer())):
        hold(app, people.admin(), who, wanting=wanting, leaving=leaving)
    run(app, "privacy", "export", "--email", grace.email, "--output", tmp_path / "x.zip")
    held = unpacked((tmp_path / "x.zip").read_bytes())
    [invitation], [former] = held["invitations"], held["former_addresses"]
    assert (invitation["email"], invitation["name"], former["email"]) == (grace.email, grace["invited"], grace.email)
    assert held["wanted_addresses"] == [{"email": grace.email}]
    text = str(held)
    assert not [word for word in (other.email, ada.user_id, leaving.user_id, "nonce") if word in text]


@pytest.mark.parametrize("words", [[], ["--user", str(UUID(int=1)), "--email", "a@b.example"]])
def test_an_export_of_nobody_or_of_two_is_used_wrongly(app, words, tmp_path):
    assert run(app, "privacy", "export", *words, "--output", tmp_path / "x.zip").exit_code == 2


def test_an_account_that_is_not_there_is_one_clear_line(app, tmp_path):
    result = run(app, "privacy", "export", "--user", UUID(int=1), "--output", tmp_path / "x.zip")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "Error: There is no account with this id, or it is erased." in result.stderr
    assert entries(app) == []


def test_every_session_is_in_it(app, client, ada):
    client.post("/api/auth/login", json={"email": "ada@shop.example", "password": PASSWORD})
    held = unpacked(ask(ada).data)
    with app.app_context():
        ids = {str(one) for one in db.session.execute(select(AuthSession.id)).scalars()}
    assert {one["id"] for one in held["sessions"]} == ids
    assert len(ids) == 2
