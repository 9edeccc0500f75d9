"""Reading, listing and changing accounts: one's own, or anybody's as an admin."""

import pytest

from tests.factories import PASSWORD
from tests.web.answers import problem, wrong

SEEN = {"If-Match": "*"}
FIELDS = {
    "id", "name", "email", "phone", "role", "locale", "time_zone", "active", "email_verified_at", "version",
    "created_at", "updated_at",
}  # fmt: skip


def path_of(user):
    return f"/api/users/{user.user_id}"


@pytest.fixture
def cast(people):
    return {role: getattr(people, role)() for role in ("customer", "courier", "dispatcher", "admin")}


def test_an_account_is_for_its_owner_and_for_admins(cast):
    for reader, who in cast.items():
        for read, user in cast.items():
            status = 200 if reader in {read, "admin"} else 404
            assert who.get(path_of(user)).status_code == status, (reader, read)
            assert who.get(f"{path_of(user)}/deliveries").status_code == status, (reader, read)
            changed = who.patch(path_of(user), json={"name": "New"}, headers=SEEN)
            assert changed.status_code == status, (reader, read)


def test_only_an_admin_lists_accounts(cast):
    for role, who in cast.items():
        if role != "admin":
            problem(who.get("/api/users"), 403, "forbidden")
    items = cast["admin"].get("/api/users").json["items"]
    assert [item["role"] for item in items] == ["admin", "dispatcher", "courier", "customer"], "the newest first"
    assert all(item.keys() == FIELDS for item in items)


def test_a_list_of_accounts_is_filtered_and_has_pages(people):
    admin = people.admin(name="Root", email="root@x.example")
    made = [people.courier(name=f"Kim {number}", email=f"kim{number}@x.example") for number in range(5)]
    people.customer(name="100%_sure", email="odd@x.example")

    def names(query):
        return [item["name"] for item in admin.get(f"/api/users?{query}").json["items"]]

    assert names("role=courier") == [f"Kim {number}" for number in reversed(range(5))]
    assert names("q=KIM%203") == names("q=kim3@X") == ["Kim 3"]
    assert names("q=%25_") == ["100%_sure"]
    assert names("role=admin&q=kim") == []
    seen, cursor = [], ""
    while cursor is not None:
        page = admin.get(f"/api/users?limit=2&role=courier{cursor and f'&cursor={cursor}'}").json
        seen += [item["id"] for item in page["items"]]
        cursor = page["next_cursor"]
    assert seen == [user.user_id for user in reversed(made)]


def test_erased_accounts_are_in_no_list(people):
    admin, leaver = people.admin(), people.customer()
    leaver.delete(path_of(leaver), headers=SEEN)
    assert [item["id"] for item in admin.get("/api/users").json["items"]] == [admin.user_id]
    problem(admin.get(path_of(leaver)), 404)
    problem(admin.patch(path_of(leaver), json={"active": True}, headers=SEEN), 404)


def test_one_changes_ones_own_words(api):
    said = {"name": "New", "phone": "+442079460000", "locale": "de", "time_zone": "Europe/Berlin"}
    before = api.get(path_of(api)).json
    response = api.patch(path_of(api), json=said, headers={"If-Match": '"1"'})

    assert response.status_code == 200
    after = response.json
    assert {**after, "updated_at": before["updated_at"]} == {**before, **said, "version": 2}
    assert after["updated_at"] > before["updated_at"]
    assert api.get(path_of(api)).json == after
    assert api.patch(path_of(api), json={"phone": None}, headers=SEEN).json["phone"] is None


def test_nobody_but_an_admin_sets_role_or_active(cast):
    for role, who in cast.items():
        for change in ({"role": "admin"}, {"role": role}, {"active": True}, {"active": False, "name": "B"}):
            response = who.patch(path_of(who), json=change, headers=SEEN)
            if role != "admin":
                problem(response, 403, "forbidden")
    assert cast["customer"].get("/api/auth/me").json["version"] == 1


def test_an_admin_changes_role_and_active_of_others(people):
    admin, user = people.admin(), people.customer()
    response = admin.patch(path_of(user), json={"role": "dispatcher", "active": False}, headers={"If-Match": '"1"'})
    assert (response.json["role"], response.json["active"], response.json["version"]) == ("dispatcher", False, 2)


def test_what_is_not_to_be_changed_here_is_refused(people):
    admin = people.admin()
    before = admin.get(path_of(admin)).json
    for name in FIELDS - {"name", "phone", "locale", "time_zone", "role", "active"} | {"password", "epoch"}:
        value = before.get(name, PASSWORD)
        assert wrong(admin.patch(path_of(admin), json={name: value}, headers=SEEN)) == {f"/{name}": "unknown"}
    assert admin.get(path_of(admin)).json == before


def test_what_must_be_there_cannot_be_taken_away(people):
    admin = people.admin()
    for name in ("name", "locale", "time_zone", "role", "active"):
        assert wrong(admin.patch(path_of(admin), json={name: None}, headers=SEEN)) == {f"/{name}": "null"}
    for value in (1, 0, "true", "false"):
        assert wrong(admin.patch(path_of(admin), json={"active": value}, headers=SEEN)) == {"/active": "invalid"}


def test_a_change_of_nothing_is_no_new_version(api):
    before = api.get(path_of(api)).json
    response = api.patch(path_of(api), json={}, headers={"If-Match": '"1"'})
    assert (response.status_code, response.json) == (200, before)


def test_no_answer_holds_a_secret(people):
    admin = people.admin()
    made = {"name": "Ada", "email": "ada@shop.example", "password": PASSWORD}
    texts = [
        admin.post("/api/users", json=made).text, admin.get("/api/users").text, admin.get("/api/auth/me").text,
        admin.patch(path_of(admin), json={"name": "B"}, headers=SEEN).text,
    ]  # fmt: skip
    for text in texts:
        assert "argon2" not in text
        assert "nonce" not in text
        assert "epoch" not in text
        assert PASSWORD not in text
