"""How API keys end: revoked, rolled, with their owner, all at once; dead at the very next request."""

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from sqlalchemy import select, update

from delivery import events
from delivery.audit.models import AuditEntry
from delivery.auth import api_keys
from delivery.auth.events import ApiKeysRevoked
from delivery.auth.models import ApiKey, AuthSession
from delivery.database import db, now, transaction
from delivery.users.events import AccessRevoked
from delivery.users.models import User
from tests.auth.keys import KEYS, key_of, made, using, works
from tests.commands import run, run_json
from tests.web.answers import problem, wrong
from tests.web.racing import race

NOBODYS = "0190a0a0-0000-7000-8000-000000000000"
SEEN = {"If-Match": "*"}


def all_of(app, query):
    with app.app_context():
        return db.session.execute(query).scalars().all()


def one_user(api):
    return UUID(api.user_id)


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


@pytest.mark.parametrize(
    "ending",
    [update(AuthSession).values(revoked_at=now()), update(User).values(epoch=2), update(User).values(active=False)],
    ids=["revoked", "another epoch", "inactive"],
)
def test_no_key_is_made_by_a_session_that_ends_at_that_moment(app, api, ending):
    """A thief's request that runs while the password is reset leaves no key behind."""
    with app.app_context(), transaction() as session:
        session.execute(ending)
        ended = session.execute(select(AuthSession.id)).scalar_one()
    by = api_keys.Caller(id=one_user(api), role="customer", session_id=ended)
    with app.app_context(), pytest.raises(api_keys.Unauthorized), transaction():
        api_keys.create(by, name="A", scopes=["users:read"], expires_at=None)
    assert all_of(app, select(ApiKey.id)) == []


def test_no_key_slips_through_while_all_of_them_end(app, api):
    with ThreadPoolExecutor(1) as threads:
        with app.app_context(), transaction():
            events.publish(ApiKeysRevoked(one_user(api)))
            events.publish(AccessRevoked(one_user(api)))
            late = threads.submit(api.post, KEYS, json={"name": "A", "scopes": ["users:read"]})
            time.sleep(0.3)  # it has passed the check of its session, and waits
        problem(late.result(30), 401, "unauthorized")
    assert all_of(app, select(ApiKey.id)) == []


class TestCommand:
    def test_an_operator_ends_all_keys_of_an_account(self, app, people):
        ada, other = people.customer(email="ada@shop.example"), people.customer()
        keys, theirs = [key_of(ada), key_of(ada)], key_of(other)
        said = run(app, "users", "revoke-keys", "Ada@shop.example").stdout
        assert said == "Revoked 2 API keys of ada@shop.example.\n"
        assert not any(map(works, keys))
        assert works(theirs)
        assert run_json(app, "users", "revoke-keys", "ada@shop.example") == {"revoked": 0}
        entries = all_of(app, select(AuditEntry.actor_type).where(AuditEntry.act == "api_key.revoked"))
        assert entries == ["cli", "cli"]

    def test_an_unknown_address_is_exit_code_1(self, app):
        result = run(app, "users", "revoke-keys", "nobody@shop.example")
        assert (result.exit_code, result.stdout) == (1, "")
        assert "There is no account nobody@shop.example." in result.stderr
