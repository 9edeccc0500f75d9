"""If-Match and If-None-Match: a change starts from the version that its sender has seen, or not at all."""

import itertools

from tests.web.answers import problem

# What the header says, while the current version is 2, and what comes of it.
CASES = {
    "the current version": ('"2"', 200),
    "a list with it": ('"1", "2" ,"9"', 200),
    "anything that exists": ("*", 200),
    "spaces around": ('  "2" ', 200),
    "an old version": ('"1"', 412),
    "a list without it": ('"1","3"', 412),
    "the version, weak": ('W/"2"', 412),
    "weak in a list": ('W/"2", "1"', 412),
    "an empty tag": ('""', 412),
    "leading zero": ('"02"', 412),
    "another sign": ('"+2"', 412),
    "somebody's hash": ('"5d41402abc4b2a76b9719d911017c592"', 412),
    "a tag with a comma": ('"1,2"', 412),
    "a huge number": (f'"{"9" * 255}"', 412),
    "one that is longer than any": (f'"{"9" * 256}"', 400),
    "nothing": ("", 400),
    "no quotes": ("2", 400),
    "half a quote": ('"2', 400),
    "single quotes": ("'2'", 400),
    "a star in a list": ('*, "2"', 400),
    "a lower-case w": ('w/"2"', 400),
    "a trailing comma": ('"2",', 400),
    "an emoji": ("\U0001f40e".encode().decode("latin-1"), 400),
    "many commas": ("," * 5000, 400),
    "many tags": (",".join(['"1"'] * 5000) + "x", 400),
}
# What If-None-Match says, while the version is 1.
UNCHANGED = {
    '"1"': 304, 'W/"1"': 304, "*": 304, '"7", "1"': 304, '"7", W/"1"': 304,
    '"2"': 200, '"7", W/"8"': 200, "1": 400, "": 400, 'garbage, , "': 400, '"' * 999: 400, f'"{"1" * 256}"': 400,
}  # fmt: skip


def test_if_match_decides_over_a_change(people):
    dispatcher = people.dispatcher()
    for name, (header, status) in CASES.items():
        delivery = dispatcher.create()
        path, headers = f"/api/deliveries/{delivery['id']}", {"If-Match": header}
        assert dispatcher.patch(path, json={"item_name": "Red"}, headers={"If-Match": '"1"'}).json["version"] == 2

        response = dispatcher.patch(path, json={"item_name": "Green"}, headers=headers)
        assert response.status_code == status, name
        if status == 200:
            assert response.headers["ETag"] == '"3"'
            continue
        deletion = dispatcher.delete(path, headers=headers)
        move = dispatcher.post(f"{path}/transitions", json={"to": "on_hold"}, headers=headers)
        for refused in (response, deletion, move):
            problem(refused, status, "stale_version" if status == 412 else "malformed")
            assert refused.headers.get("ETag") == ('"2"' if status == 412 else None)
        assert dispatcher.get(path).json["version"] == 2


def test_a_change_without_if_match_is_a_428(people):
    admin = people.admin()
    delivery = admin.create()
    for path in (f"/api/deliveries/{delivery['id']}", f"/api/users/{people.customer().user_id}"):
        problem(admin.patch(path, json={}), 428, "if_match_required")
        problem(admin.delete(path), 428, "if_match_required")


def test_a_move_heeds_if_match_only_when_it_is_given(people):
    dispatcher = people.dispatcher()
    delivery = dispatcher.walk(dispatcher.create(), "on_hold")
    path = f"/api/deliveries/{delivery['id']}/transitions"

    problem(dispatcher.post(path, json={"to": "pending"}, headers={"If-Match": '"1"'}), 412)
    assert dispatcher.post(path, json={"to": "pending"}, headers={"If-Match": '"2"'}).headers["ETag"] == '"3"'
    assert dispatcher.post(path, json={"to": "cancelled"}).headers["ETag"] == '"4"'


def test_users_have_versions_too(api):
    path = f"/api/users/{api.user_id}"
    problem(api.patch(path, json={"name": "B"}, headers={"If-Match": '"9"'}), 412)
    assert api.patch(path, json={"name": "B"}, headers={"If-Match": '"1"'}).headers["ETag"] == '"2"'
    problem(api.delete(path, headers={"If-Match": '"1"'}), 412)
    assert api.get(path).headers["ETag"] == '"2"'


def test_if_none_match_spares_the_body(api):
    paths = (f"/api/deliveries/{api.create()['id']}", f"/api/users/{api.user_id}", "/api/auth/me")
    for path, (header, status) in itertools.product(paths, UNCHANGED.items()):
        response = api.get(path, headers={"If-None-Match": header})
        assert response.status_code == status, header
        if status == 400:
            problem(response, 400, "malformed")
            continue
        assert response.headers["ETag"] == '"1"'
        assert response.headers["Vary"] == "Authorization"
        assert response.headers["Cache-Control"] == "private, no-cache"
        assert (response.data == b"") == (status == 304)


def test_a_304_is_only_for_those_who_may_see_it(api, people):
    path = f"/api/deliveries/{api.create()['id']}"
    problem(people.customer().get(path, headers={"If-None-Match": '"1"'}), 404)
    problem(api.get(path, headers={"If-None-Match": '"1"', "Authorization": ""}), 401)
