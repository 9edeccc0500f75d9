"""There is always an admin: nobody takes the last one away, not even two who take each other away."""

import threading

import pytest

from tests.web.answers import problem

ANY = {"If-Match": "*"}


def demote(by, user):
    return by.patch(f"/api/users/{user.user_id}", json={"role": "customer"}, headers=ANY)


def deactivate(by, user):
    return by.patch(f"/api/users/{user.user_id}", json={"active": False}, headers=ANY)


def erase(by, user):
    return by.delete(f"/api/users/{user.user_id}", headers=ANY)


@pytest.mark.parametrize("take_away", [demote, deactivate, erase])
def test_the_last_admin_stays(people, take_away):
    admin = people.admin()

    assert problem(take_away(admin, admin), 409)["code"] == "last_admin"

    assert admin.get("/api/auth/me").json["role"] == "admin"
    another = people.admin()
    assert take_away(admin, another).status_code in {200, 204}
    assert problem(take_away(admin, admin), 409)["code"] == "last_admin"


def test_an_admin_may_still_change_other_things(people):
    admin = people.admin()

    assert admin.patch(f"/api/users/{admin.user_id}", json={"name": "New"}, headers=ANY).status_code == 200


def test_two_who_take_each_other_away_leave_one(app, people):
    one, other = people.admin(), people.admin()
    together, statuses = threading.Barrier(2), []

    def take(by, user):
        together.wait(10)
        statuses.append(demote(by, user).status_code)

    threads = [threading.Thread(target=take, args=pair) for pair in ((one, other), (other, one))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    # The second finds that it is the last (409), or that it is no admin any more (401).
    assert min(statuses) == 200
    assert max(statuses) in {401, 409}
    assert sum(who.get("/api/users").status_code == 200 for who in (one, other)) == 1
