"""API keys: shown once, kept as a hash, dead at once when they end, and never more than their owner."""

import hashlib
import re
import zlib
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from sqlalchemy import select, text, update

from delivery.auth import api_keys
from delivery.auth.models import ApiKey
from delivery.database import db, transaction
from delivery.users.models import User
from tests.auth.keys import KEYS, SECRET, made, using, works
from tests.auth.links import PASSWORD, link_token, register
from tests.auth.signing_in import login
from tests.web.answers import problem, wrong
from tests.web.hostile import EVERYTHING
from tests.web.racing import race

NOBODYS = "0190a0a0-0000-7000-8000-000000000000"
SEEN = {"If-Match": "*"}


def test_a_new_key_is_shown_once_and_acts_for_its_owner(api):
    response = api.post(KEYS, json={"name": " Shop ", "scopes": ["users:read"]})
    body = response.json

    assert response.status_code == 201
    assert response.headers["Location"] == f"{KEYS}/{body['id']}"
    assert response.headers["ETag"] == '"1"'
    assert response.headers["Cache-Control"] == "no-store"
    assert re.fullmatch(SECRET, body["secret"])
    assert body["hint"] == f"dms_live_...{body['secret'][-4:]}"
    assert (body["name"], body["scopes"], body["expires_at"], body["last_used_at"]) == (
        "Shop", ["users:read"], None, None,
    )  # fmt: skip
    shown = api.get(response.headers["Location"])
    assert shown.json == {name: value for name, value in body.items() if name != "secret"}
    assert shown.headers["ETag"] == '"1"'
    assert api.get(KEYS).json["items"] == [shown.json]
    assert using(api, body["secret"]).get("/api/auth/me").json["id"] == api.user_id


def test_the_key_itself_is_kept_nowhere(app, api):
    secret = made(api, headers={"Idempotency-Key": "k"})["secret"]
    with app.app_context():
        tables = db.session.execute(select(ApiKey.hash)).scalars().all()
        assert tables == [hashlib.sha256(secret.encode()).digest()]
        for table in db.metadata.sorted_tables:
            for row in db.session.execute(text(f"SELECT * FROM {table.name}")):  # our own names
                assert secret not in "".join(str(bytes(v) if isinstance(v, memoryview) else v) for v in row)
                assert secret[9:] not in str(row)


def test_two_keys_are_never_the_same(api):
    first, second = made(api), made(api)
    assert first["secret"] != second["secret"]
    assert len({one["secret"] for one in (first, second)} | {one["id"] for one in (first, second)}) == 4


@pytest.mark.parametrize("name", ["unknown", "typo", "short", "long", "revoked", "expired", "inactive", "erased"])
def test_a_key_that_does_not_work_is_one_and_the_same_401(app, api, people, travel, name):
    admin, soon = people.admin(), (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    key = made(api, expires_at=soon)
    secret = key["secret"]
    unknown = "dms_live_" + "0" * 43
    acts = {
        "unknown": lambda: unknown + checksum_of(unknown),
        "typo": lambda: secret[:20] + ("a" if secret[20] != "a" else "b") + secret[21:],
        "short": lambda: secret[:-1],
        "long": lambda: secret + "0",
        "revoked": lambda: api.delete(f"{KEYS}/{key['id']}"),
        "expired": lambda: travel(hours=1, seconds=1),
        "inactive": lambda: admin.patch(f"/api/users/{api.user_id}", json={"active": False}, headers=SEEN),
        "erased": lambda: admin.delete(f"/api/users/{api.user_id}", headers=SEEN),
    }
    assert works(using(api, secret))
    done = acts[name]()
    response = using(api, done if isinstance(done, str) else secret).get("/api/auth/me")

    body = problem(response, 401, "unauthorized")
    assert response.headers["WWW-Authenticate"] == 'Bearer error="invalid_token"'
    assert body["detail"] == "The access token or API key is not valid, or no longer is."


def checksum_of(body):
    """The CRC-32 of a key's beginning in base 62, written without the code that is tested."""
    digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
    value = zlib.crc32(body.encode())
    return "".join(digits[value // 62**place % 62] for place in range(5, -1, -1))


def test_a_scanner_can_tell_a_key_by_its_checksum(api):
    secret = made(api)["secret"]
    assert checksum_of(secret[:-6]) == secret[-6:]


@pytest.mark.parametrize(
    ("body", "errors"),
    [
        ({}, {"/name": "required", "/scopes": "required"}),
        ({"name": "", "scopes": []}, {"/name": "invalid", "/scopes": "invalid"}),
        ({"name": "x" * 101, "scopes": ["deliveries:fly"]}, {"/name": "invalid", "/scopes/0": "invalid"}),
        ({"name": "A\u202eB", "scopes": "users:read"}, {"/name": "invalid", "/scopes": "invalid"}),
        ({"name": "A", "scopes": ["users:read"], "expires_at": "2020-01-01T00:00:00Z"}, {"/expires_at": "invalid"}),
        ({"name": "A", "scopes": ["users:read"], "expires_at": "2999-01-01T00:00:00"}, {"/expires_at": "invalid"}),
        ({"name": "A", "scopes": ["users:read"], "secret": "x", "id": 1}, {"/secret": "unknown", "/id": "unknown"}),
        ({"name": "A", "scopes": ["users:read"] * 99}, {"/scopes": "invalid"}),
        ({"name": "A", "scopes": [None, 1, {}]}, {"/scopes/0": "null", "/scopes/1": "invalid", "/scopes/2": "invalid"}),
    ],
)  # fmt: skip
def test_a_wrong_body_makes_no_key(api, body, errors):
    assert wrong(api.post(KEYS, json=body)) == errors
    assert api.get(KEYS).json["items"] == []


@pytest.mark.parametrize("field", ["name", "scopes", "expires_at"])
def test_hostile_values_are_refused_or_kept_and_break_nothing(app, api, field):
    for value in EVERYTHING:
        response = api.post(KEYS, json={"name": "A", "scopes": ["users:read"], field: value})
        if response.status_code == 422:
            assert all(pointer.startswith(f"/{field}") for pointer in wrong(response)), value
        else:
            assert response.status_code == 201, f"{value!r:.100}: {response.text}"
            assert api.delete(f"{KEYS}/{response.json['id']}").status_code == 204
    assert api.get(f"{KEYS}?limit=100").status_code == 200


def test_a_scope_that_is_named_twice_is_one(api):
    assert made(api, scopes=["users:read", "deliveries:read", "users:read"])["scopes"] == [
        "deliveries:read", "users:read",
    ]  # fmt: skip


def test_a_time_at_the_end_of_all_times_is_stored(api):
    assert works(using(api, made(api, expires_at="9999-12-31T23:59:59Z")["secret"]))


def test_keys_are_listed_page_by_page_the_newest_first(api):
    ids = [made(api)["id"] for _ in range(5)]
    first = api.get(f"{KEYS}?limit=3").json
    second = api.get(f"{KEYS}?limit=3&cursor={first['next_cursor']}").json
    assert [key["id"] for key in first["items"] + second["items"]] == ids[::-1]
    assert second["next_cursor"] is None


def test_another_persons_key_is_not_there_not_even_for_an_admin(api, people):
    key = made(api)
    for who in (people.customer(), people.admin()):
        for path in (f"{KEYS}/{key['id']}", f"{KEYS}/{NOBODYS}"):
            problem(who.get(path), 404)
            problem(who.delete(path), 404)
            problem(who.post(f"{path}/roll", json={}), 404)
    assert works(using(api, key["secret"]))


def test_nobody_has_more_live_keys_than_allowed(api, monkeypatch):
    monkeypatch.setattr(api_keys, "AT_MOST", 3)
    keys = [made(api) for _ in range(3)]
    body = {"name": "A", "scopes": ["users:read"]}
    problem(api.post(KEYS, json=body), 409, "too_many_keys")
    problem(api.post(f"{KEYS}/{keys[0]['id']}/roll", json={}), 409, "too_many_keys")
    assert api.get(f"{KEYS}/{keys[0]['id']}").json["rolled_at"] is None
    assert api.post(f"{KEYS}/{keys[0]['id']}/roll", json={"overlap_seconds": 0}).status_code == 201
    api.delete(f"{KEYS}/{keys[1]['id']}")
    responses = race(*[lambda: api.post(KEYS, json=body)] * 4)
    assert sorted(response.status_code for response in responses) == [201, 409, 409, 409]


def test_fifty_keys_are_allowed():
    assert api_keys.AT_MOST == 50


def test_a_repeat_makes_no_second_key_and_hides_the_secret(api):
    def ask(path, body):
        return api.post(path, json=body, headers={"Idempotency-Key": path.replace("/", ".")})

    old = made(api)
    for path, body in ((KEYS, {"name": "A", "scopes": ["users:read"]}), (f"{KEYS}/{old['id']}/roll", {})):
        first, again = ask(path, body), ask(path, body)
        assert (first.status_code, again.status_code) == (201, 201)
        assert first.json["secret"]
        assert again.json == first.json | {"secret": None}
        assert again.headers["Idempotent-Replayed"] == "true"
        for name in ("Location", "ETag", "Cache-Control"):
            assert again.headers[name] == first.headers[name]
    assert len(api.get(KEYS).json["items"]) == 3


def test_the_owner_is_told_of_each_new_key_and_never_the_key(people, mailbox):
    ada = people.customer(email="ada@shop.example")
    key = made(ada, name="Shop <3")
    new = ada.post(f"{KEYS}/{key['id']}/roll", json={}).json
    letters = mailbox()
    assert [(one.address, one.subject) for one in letters] == [
        ("ada@shop.example", "There is a new API key of your account")
    ] * 2
    assert {one["hint"] for one in (key, new)} == {
        one["hint"] for one in (key, new) for letter in letters if one["hint"] in letter.text
    }
    for letter in letters:
        assert "Shop <3" in letter.text
        assert "Shop &lt;3" in letter.html
        for one in (key, new):
            assert one["secret"][9:-4] not in letter.text + letter.html
    problem(ada.post(KEYS, json={"name": "A", "scopes": []}), 422)
    assert mailbox() == []


def test_nobody_is_told_of_the_keys_of_an_erased_account(api, mailbox):
    made(api)
    assert api.delete(f"/api/users/{api.user_id}", headers=SEEN).status_code == 204
    assert mailbox() == []


def test_whose_address_is_not_confirmed_makes_no_keys(app, client, api):
    key = made(api)
    register(client, "eve@shop.example")
    eve = {"Authorization": f"Bearer {login(client, 'eve@shop.example', PASSWORD).json['access_token']}"}
    body = {"name": "A", "scopes": ["users:read"]}
    refused = problem(client.post(KEYS, json=body, headers=eve), 403, "email_unverified")
    assert "request-verification" in refused["detail"]
    assert client.get(KEYS, headers=eve).json["items"] == []
    assert client.post("/api/auth/verify-email", json={"token": link_token(app, "eve@shop.example")}).status_code == 204
    assert client.post(KEYS, json=body, headers=eve).status_code == 201

    with app.app_context(), transaction() as session:
        session.execute(update(User).where(User.id == UUID(api.user_id)).values(email_verified_at=None))
    problem(api.post(f"{KEYS}/{key['id']}/roll", json={}), 403, "email_unverified")
    assert api.get(f"{KEYS}/{key['id']}").json["rolled_at"] is None


def test_every_act_is_in_the_audit_log(app, api, people):
    key = made(api)
    new = api.post(f"{KEYS}/{key['id']}/roll", json={"overlap_seconds": 60}).json
    api.delete(f"{KEYS}/{key['id']}")
    admin = people.admin()
    admin.delete(f"/api/users/{api.user_id}/api-keys")

    entries = admin.get("/api/audit?act=api_key.*").json["items"][::-1]
    assert [(entry["act"], entry["object_id"], entry["actor_id"], entry["details"]) for entry in entries] == [
        ("api_key.created", key["id"], api.user_id, {"scopes": key["scopes"], "test": False}),
        ("api_key.rolled", key["id"], api.user_id, {"replaced_by": new["id"], "overlap_seconds": 60}),
        ("api_key.revoked", key["id"], api.user_id, {"user_id": api.user_id}),
        ("api_key.revoked", new["id"], admin.user_id, {"user_id": api.user_id}),
    ]
    assert {entry["object_type"] for entry in entries} == {"api_key"}
    assert key["secret"][-10:] not in str(entries)
