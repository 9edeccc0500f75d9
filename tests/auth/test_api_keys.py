"""API keys: shown once, kept as a hash, dead at once when they end, and never more than their owner."""

import hashlib
import re
import zlib
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from sqlalchemy import select, text, update
from sqlalchemy.exc import OperationalError

from delivery import events
from delivery.audit.models import AuditEntry
from delivery.auth import api_keys, key_checks
from delivery.auth.events import ApiKeysRevoked
from delivery.auth.models import ApiKey, AuthSession
from delivery.database import db, now, transaction
from delivery.users.models import User
from tests.auth.keys import KEYS, SECRET, key_of, made, using
from tests.commands import run, run_json
from tests.factories import delivery_in
from tests.web.answers import problem, wrong
from tests.web.racing import race

NOBODYS = "0190a0a0-0000-7000-8000-000000000000"
SEEN = {"If-Match": "*"}


def all_of(app, query):
    with app.app_context():
        return db.session.execute(query).scalars().all()


def works(key):
    response = key.get("/api/auth/me")
    assert response.status_code in {200, 401}, response.text
    return response.status_code == 200


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


def test_a_typo_costs_no_statement(app, api, client, count_statements):
    secret = made(api)["secret"]
    with count_statements() as statements:
        for wrong_one in (secret[:-1], secret + "x", secret[:-1] + "é", "dms_live_", f"dms_live_{'0' * 49}"):
            problem(client.get("/api/auth/me", headers={"Authorization": f"Bearer {wrong_one}"}), 401)
    assert statements == []


def test_a_key_is_taken_from_the_header_alone(api, client):
    secret = made(api)["secret"]
    client.set_cookie("api_key", secret)
    for query in ("api_key", "key", "access_token"):
        problem(client.get(f"/api/auth/me?{query}={secret}"), 401)
    for header in ({"X-Api-Key": secret}, {"Authorization": secret}, {"Authorization": f"Basic {secret}"}):
        problem(client.get("/api/auth/me", headers=header), 401)
    for scheme in ("bearer", "BEARER"):
        assert client.get("/api/auth/me", headers={"Authorization": f"{scheme} {secret}"}).status_code == 200


def test_a_key_is_checked_by_one_read(app, api, count_statements):
    key = key_of(api)
    key.get("/api/auth/me").close()
    with count_statements() as statements:
        key.get("/api/auth/me").close()
    assert len(statements) == 2, "the check, and the account that was asked for"


def test_a_role_and_its_row_rules_hold_for_keys(people):
    """All scopes make nobody more than they are."""
    owner, stranger, admin = people.customer(), people.customer(), people.admin()
    delivery = owner.create()
    path = f"/api/deliveries/{delivery['id']}"
    hers, theirs, admins = key_of(owner), key_of(stranger), key_of(admin)

    assert hers.get(path).status_code == 200
    problem(theirs.get(path), 404)
    problem(theirs.patch(path, json={"item_name": "B"}, headers=SEEN), 404)
    problem(hers.get("/api/users"), 403, "forbidden")
    problem(hers.get(f"/api/users/{stranger.user_id}"), 404)
    assert admins.get("/api/users").status_code == 200
    problem(hers.move(delivery, "picked_up"), 403, "forbidden")


def test_another_role_acts_at_once(people):
    admin, person = people.admin(), people.dispatcher()
    key, delivery = key_of(person), people.customer().create()
    assert key.get(f"/api/deliveries/{delivery['id']}").status_code == 200
    admin.patch(f"/api/users/{person.user_id}", json={"role": "customer"}, headers=SEEN)
    problem(key.get(f"/api/deliveries/{delivery['id']}"), 404)


def test_a_key_without_the_scope_is_told_which_one_it_needs(people):
    key = key_of(people.admin(), "deliveries:read", "users:write")
    needed = {
        ("GET", "/api/users"): "users:read",
        ("GET", "/api/audit"): "audit:read",
        ("POST", "/api/deliveries"): "deliveries:write",
        ("POST", f"/api/deliveries/{NOBODYS}/transitions"): "deliveries:move",
    }
    for (method, path), scope in needed.items():
        response = key.request(method, path, data=b"{")
        problem(response, 403, "insufficient_scope")
        assert response.headers["WWW-Authenticate"] == f'Bearer error="insufficient_scope", scope="{scope}"'


def test_what_only_a_person_does_no_key_does(people):
    owner = people.admin()
    key, other = key_of(owner), made(owner)
    for method, path in (
        ("GET", KEYS), ("POST", KEYS), ("GET", f"{KEYS}/{other['id']}"), ("DELETE", f"{KEYS}/{other['id']}"),
        ("POST", f"{KEYS}/{other['id']}/roll"), ("POST", "/api/auth/logout"),
        ("GET", f"/api/users/{owner.user_id}/api-keys"), ("DELETE", f"/api/users/{owner.user_id}/api-keys"),
    ):  # fmt: skip
        response = key.request(method, path, json={"name": "B", "scopes": ["users:read"]})
        problem(response, 403, "insufficient_scope")
        assert "WWW-Authenticate" not in response.headers, "no scope would help"
    assert len(owner.get(KEYS).json["items"]) == 2


def test_history_and_audit_log_name_the_key(app, people):
    owner = people.dispatcher()
    key = key_of(owner)
    delivery = key.create()
    key.move(delivery, "on_hold")
    assert [(event["actor_type"], event["actor_id"]) for event in owner.history(delivery)] == [
        ("api_key", owner.user_id)
    ] * 2


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


def test_a_revoked_key_is_dead_at_once_and_its_row_stays(api):
    key, other = made(api), made(api)
    for _ in range(2):
        response = api.delete(f"{KEYS}/{key['id']}")
        assert (response.status_code, response.data) == (204, b"")
    assert not works(using(api, key["secret"]))
    assert works(using(api, other["secret"]))
    shown = api.get(f"{KEYS}/{key['id']}").json
    assert shown["revoked_at"]
    assert shown["version"] == 2, "the second time changed nothing"


def test_a_revocation_heeds_if_match_when_it_is_sent(api):
    key = made(api)
    response = api.delete(f"{KEYS}/{key['id']}", headers={"If-Match": '"7"'})
    problem(response, 412, "stale_version")
    assert works(using(api, key["secret"]))
    assert api.delete(f"{KEYS}/{key['id']}", headers={"If-Match": '"1"'}).status_code == 204


def test_a_key_that_was_rolled_works_until_the_overlap_ends(api, travel):
    old = made(api, scopes=["users:read"], expires_at="2999-01-01T00:00:00Z")
    response = api.post(f"{KEYS}/{old['id']}/roll", json={"overlap_seconds": 600})
    new = response.json

    assert response.status_code == 201
    assert response.headers["Location"] == f"{KEYS}/{new['id']}"
    assert new["secret"] != old["secret"]
    same = ("name", "scopes", "expires_at")
    assert [new[name] for name in same] == [old[name] for name in same]
    rolled = api.get(f"{KEYS}/{old['id']}").json
    assert rolled["replaced_by"] == new["id"]
    assert rolled["rolled_at"]
    assert rolled["version"] == 2
    assert works(using(api, old["secret"]))
    travel(seconds=590)
    assert works(using(api, old["secret"]))
    travel(seconds=20)
    assert not works(using(api, old["secret"]))
    assert works(using(api, new["secret"]))


def test_without_overlap_the_old_key_is_dead_at_once(api):
    old = made(api)
    new = api.post(f"{KEYS}/{old['id']}/roll", json={"overlap_seconds": 0}).json
    assert not works(using(api, old["secret"]))
    assert works(using(api, new["secret"]))


def test_the_overlap_is_a_day_by_default_and_outlives_no_expiry(api, travel):
    soon = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    lasting, brief = made(api), made(api, expires_at=soon)
    for key in (lasting, brief):
        assert api.post(f"{KEYS}/{key['id']}/roll", json={}).status_code == 201
    travel(hours=1, seconds=1)
    assert not works(using(api, brief["secret"]))
    with_day = api.get(f"{KEYS}/{lasting['id']}")
    problem(with_day, 401)  # the session, after half an hour
    assert works(using(api, lasting["secret"]))
    travel(hours=23)
    assert not works(using(api, lasting["secret"]))


@pytest.mark.parametrize("overlap", [-1, 604_801, "x", 1.5, True, None])
def test_an_overlap_is_at_most_a_week(api, overlap):
    response = api.post(f"{KEYS}/{made(api)['id']}/roll", json={"overlap_seconds": overlap})
    assert set(wrong(response)) == {"/overlap_seconds"}


@pytest.mark.parametrize("name", ["revoked", "expired", "rolled"])
def test_only_a_key_that_works_can_be_rolled_and_only_once(app, api, name):
    key = made(api)
    if name == "revoked":
        api.delete(f"{KEYS}/{key['id']}")
    elif name == "rolled":
        assert api.post(f"{KEYS}/{key['id']}/roll", json={}).status_code == 201
    else:
        with app.app_context(), transaction() as session:
            session.execute(update(ApiKey).values(expires_at=now(plus=-1)))
    before = api.get(KEYS).json
    problem(api.post(f"{KEYS}/{key['id']}/roll", json={}), 409, "key_ended")
    problem(api.post(f"{KEYS}/{key['id']}/roll", json={}, headers={"If-Match": '"9"'}), 412)
    assert api.get(KEYS).json == before


def test_one_of_many_rolls_wins(api):
    key = made(api)
    responses = race(*[lambda: api.post(f"{KEYS}/{key['id']}/roll", json={})] * 6)
    assert sorted(response.status_code for response in responses) == [201] + [409] * 5
    assert len(api.get(KEYS).json["items"]) == 2


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


def test_an_admin_sees_and_ends_the_keys_of_others(api, people):
    admin, stranger, keys = people.admin(), people.customer(), [made(api), made(api)]
    theirs = made(stranger)
    path = f"/api/users/{api.user_id}/api-keys"

    assert admin.get(path).json == api.get(path).json == api.get(KEYS).json
    assert [key["id"] for key in admin.get(f"{path}?limit=1").json["items"]] == [keys[1]["id"]]
    problem(stranger.get(path), 404)
    problem(stranger.delete(path), 404)
    problem(admin.get(f"/api/users/{NOBODYS}/api-keys"), 404)
    assert admin.delete(path).status_code == 204
    assert not any(works(using(api, key["secret"])) for key in keys)
    assert works(using(stranger, theirs["secret"]))
    assert admin.delete(path).status_code == 204


def test_the_fact_that_all_keys_end_ends_them(app, api):
    key = made(api)
    with app.app_context(), transaction():
        events.publish(ApiKeysRevoked(one_user(api)))
    assert not works(using(api, key["secret"]))


def one_user(api):
    return UUID(api.user_id)


def test_being_inactive_stops_keys_and_being_erased_removes_them(app, api, people):
    admin, key = people.admin(), made(api)
    admin.patch(f"/api/users/{api.user_id}", json={"active": False}, headers=SEEN)
    assert not works(using(api, key["secret"]))
    admin.patch(f"/api/users/{api.user_id}", json={"active": True}, headers=SEEN)
    assert works(using(api, key["secret"]))
    admin.delete(f"/api/users/{api.user_id}", headers=SEEN)
    assert all_of(app, select(ApiKey.id)) == [], "what a key is called may tell of its owner"


def test_a_key_that_was_rolled_goes_with_its_owner(app, api, people):
    api.post(f"{KEYS}/{made(api)['id']}/roll", json={})
    assert people.admin().delete(f"/api/users/{api.user_id}", headers=SEEN).status_code == 204
    assert all_of(app, select(ApiKey.id)) == []


def test_no_key_is_made_by_a_session_that_ends_at_that_moment(app, api):
    """A thief's request that runs while the password is reset leaves no key behind."""
    with app.app_context(), transaction() as session:
        ended = session.execute(update(AuthSession).values(revoked_at=now()).returning(AuthSession.id)).scalar_one()
        by = api_keys.Caller(
            id=one_user(api), role="customer", session_id=session.execute(select(AuthSession.id)).scalar()
        )
    with app.app_context(), pytest.raises(api_keys.Unauthorized), transaction():
        api_keys.create(by, name="A", scopes=["users:read"], expires_at=None)
    assert all_of(app, select(ApiKey.id)) == []


def test_every_act_is_in_the_audit_log(app, api, people):
    key = made(api)
    new = api.post(f"{KEYS}/{key['id']}/roll", json={"overlap_seconds": 60}).json
    api.delete(f"{KEYS}/{key['id']}")
    admin = people.admin()
    admin.delete(f"/api/users/{api.user_id}/api-keys")

    entries = admin.get("/api/audit?act=api_key.*").json["items"][::-1]
    assert [(entry["act"], entry["object_id"], entry["actor_id"], entry["details"]) for entry in entries] == [
        ("api_key.created", key["id"], api.user_id, {"scopes": key["scopes"]}),
        ("api_key.rolled", key["id"], api.user_id, {"replaced_by": new["id"], "overlap_seconds": 60}),
        ("api_key.revoked", key["id"], api.user_id, {"user_id": api.user_id}),
        ("api_key.revoked", new["id"], admin.user_id, {"user_id": api.user_id}),
    ]
    assert {entry["object_type"] for entry in entries} == {"api_key"}
    assert key["secret"][-10:] not in str(entries)


class TestLastUse:
    """Noted when the answer is out, once in five minutes."""

    def test_the_first_use_is_noted_and_shown(self, api):
        key = made(api)
        using(api, key["secret"]).get("/api/auth/me").close()
        shown = api.get(f"{KEYS}/{key['id']}").json
        used = datetime.fromisoformat(shown["last_used_at"])
        assert abs(used - datetime.now(UTC)) < timedelta(seconds=30)
        assert shown["version"] == 1

    def test_a_use_is_noted_once_in_five_minutes(self, app, api, travel, count_statements):
        key = key_of(api)

        def notes():
            with count_statements() as statements:
                key.get("/api/auth/me").close()
            return sum(statement.startswith("UPDATE") for statement in statements)

        assert [notes() for _ in range(3)] == [1, 0, 0]
        travel(minutes=4, seconds=50)
        assert notes() == 0
        travel(seconds=20)
        assert [notes() for _ in range(2)] == [1, 0]

    def test_a_refused_request_used_the_key_too(self, api):
        key = made(api, scopes=["audit:read"])
        response = using(api, key["secret"]).get("/api/users")
        problem(response, 403)
        response.close()
        assert api.get(f"{KEYS}/{key['id']}").json["last_used_at"]

    def test_a_busy_or_lost_database_fails_no_request(self, app, api, monkeypatch, caplog):
        def refuse():
            raise OperationalError("UPDATE", None, Exception("database is locked"))

        key = key_of(api)
        monkeypatch.setattr(key_checks, "transaction", refuse)
        response = key.get("/api/auth/me")
        assert response.status_code == 200
        response.close()
        assert "the use of an API key was not noted" in caplog.text

    def test_a_reader_does_not_wait_for_a_writer(self, app, api):
        """The answer is there although somebody holds the lock; on SQLite that is the lock of the whole database."""
        key = key_of(api)
        with app.app_context(), transaction() as session:
            session.execute(update(ApiKey).values(name="held"))
            response = key.get("/api/auth/me")
            assert response.status_code == 200
        response.close()
        assert api.get(KEYS).json["items"][0]["last_used_at"]


class TestCommand:
    def test_an_operator_ends_all_keys_of_an_account(self, app, people):
        ada, other = people.customer(email="ada@shop.example"), people.customer()
        keys, theirs = [key_of(ada), key_of(ada)], key_of(other)
        assert run(app, "users", "revoke-keys", "Ada@shop.example").stdout == said
        assert not any(map(works, keys))
        assert works(theirs)
        assert run_json(app, "users", "revoke-keys", "ada@shop.example") == {"revoked": 0}
        entries = all_of(app, select(AuditEntry.actor_type).where(AuditEntry.act == "api_key.revoked"))
        assert entries == ["cli", "cli"]

    def test_an_unknown_address_is_exit_code_1(self, app):
        result = run(app, "users", "revoke-keys", "nobody@shop.example")
        assert (result.exit_code, result.stdout) == (1, "")
        assert "There is no account with this address." in result.stderr


def test_a_key_outlives_its_owners_sessions(app, api):
    key = key_of(api)
    api.post("/api/auth/logout")
    with app.app_context(), transaction() as session:
        session.execute(update(User).values(epoch=5))
    assert works(key)
    assert key.post("/api/deliveries", json=delivery_in()).status_code == 201
