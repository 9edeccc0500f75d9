"""What admins do to accounts: find them, change them, and leave a trace of each change."""

import pytest

from tests.audit.entries import acts
from tests.auth.links import register
from tests.auth.signing_in import login, signed_in_again
from tests.web.answers import problem, wrong

ANY = {"If-Match": "*"}


def change(admin, user, **words):
    response = admin.patch(f"/api/users/{user.user_id}", json=words, headers=ANY)
    assert response.status_code == 200, response.text
    return response.json


def told_of(app, user):
    return [(act, details) for act, _, details in acts(app, "user.*", of=user.user_id) if act != "user.created"]


def test_each_change_is_written_down_by_its_kind(app, people):
    admin, user = people.admin(), people.customer()
    change(admin, user, role="courier", active=False, name="New", locale="de")
    change(admin, user, active=True)
    assert told_of(app, user) == [
        ("user.role_changed", {"from": "customer", "to": "courier"}),
        ("user.deactivated", {}),
        ("user.changed", {"fields": ["locale", "name"]}),
        ("user.activated", {}),
    ]


def test_what_is_the_same_as_before_is_no_act(app, people):
    admin, user = people.admin(), people.customer(name="Ada")
    change(admin, user, role="customer", active=True, name="Ada")
    change(admin, user)
    assert told_of(app, user) == []


def test_a_refused_change_leaves_no_trace(app, people):
    admin = people.admin()
    problem(admin.patch(f"/api/users/{admin.user_id}", json={"role": "customer"}, headers=ANY), 409, "last_admin")
    problem(admin.patch(f"/api/users/{admin.user_id}", json={"name": "B"}, headers={"If-Match": '"9"'}), 412)
    assert told_of(app, admin) == []


def test_the_trace_names_who_did_it_and_holds_no_word_of_it(app, people):
    admin, user = people.admin(), people.customer()
    change(admin, user, name="Grace Hopper", phone="+442079460000")
    [entry] = admin.get("/api/audit?act=user.changed").json["items"]
    assert (entry["actor_type"], entry["actor_id"], entry["object_id"]) == ("user", admin.user_id, user.user_id)
    assert "Grace" not in str(entry)
    assert "7946" not in str(entry)


def test_a_change_of_role_or_a_deactivation_ends_every_session_at_once(client, people):
    admin = people.admin()
    for number, words in enumerate(({"role": "courier"}, {"active": False})):
        user = people.customer(email=f"user{number}@x.example")
        change(admin, user, name="Still there")
        assert user.get("/api/auth/me").status_code == 200
        change(admin, user, **words)
        problem(user.get("/api/auth/me"), 401)
    problem(login(client, "user1@x.example"), 401, "invalid_credentials")
    assert login(client, "user0@x.example").status_code == 200


def test_a_list_is_filtered_by_what_is_active_and_verified(app, client, people):
    admin, asleep = people.admin(name="Root"), people.courier(name="Asleep")
    change(admin, asleep, active=False)
    register(client, "new@x.example", name="Unverified")

    def names(query):
        return {item["name"] for item in admin.get(f"/api/users?{query}").json["items"]}

    assert names("active=true") == {"Root", "Unverified"}
    assert names("active=false") == {"Asleep"}
    assert names("verified=true") == {"Root", "Asleep"}
    assert names("verified=false") == names("active=true&verified=false&q=unv") == {"Unverified"}
    assert names("active=false&role=admin") == set()


@pytest.mark.parametrize("text", ["%", "_", "\\", "/", "%%", "\\%", "'", '"', "ë", "密", "\U0001f40e", "ﬁ", "Zoë"])
def test_a_search_finds_what_is_there_to_the_letter(people, text):
    admin = people.admin(name="Root", email="root@x.example")
    people.customer(name="Plain", email="plain@x.example")
    people.customer(name=f"a{text}b", email="odd@x.example")

    def found(q):
        response = admin.get("/api/users", query_string={"q": q})
        assert response.status_code == 200, response.text
        return [item["name"] for item in response.json["items"]]

    assert found(text) == found(f"a{text}b") == [f"a{text}b"]
    assert found(f"{text}{text}{text}") == []


def test_a_search_has_an_end(people):
    admin = people.admin()
    assert admin.get("/api/users", query_string={"q": "%" * 100}).json["items"] == []
    assert wrong(admin.get("/api/users", query_string={"q": "x" * 101})) == {"/q": "invalid"}


def test_nobody_climbs_by_changing_themselves(app, people):
    for role in ("customer", "courier", "dispatcher"):
        who = getattr(people, role)()
        for climbed in ("courier", "dispatcher", "admin"):
            problem(who.patch(f"/api/users/{who.user_id}", json={"role": climbed}, headers=ANY), 403, "forbidden")
        assert who.get("/api/auth/me").json["role"] == role
        assert told_of(app, who) == []


def test_a_demoted_admin_is_none_at_once(people):
    admin, other, user = people.admin(), people.admin(), people.customer()
    change(admin, other, role="customer")
    problem(other.get("/api/users"), 401)
    again = signed_in_again(other)
    problem(again.get("/api/users"), 403, "forbidden")
    problem(again.patch(f"/api/users/{user.user_id}", json={"role": "admin"}, headers=ANY), 404)
