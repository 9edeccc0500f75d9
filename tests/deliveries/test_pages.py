"""Pages: complete and without repeats, whatever is added meanwhile, in each order and for each limit."""

import itertools

import pytest
from sqlalchemy import update

from delivery import clock
from delivery.database import transaction
from delivery.deliveries.models import Delivery
from tests.web.answers import problem, wrong

SORTS = ["-created_at", "created_at", "-updated_at", "updated_at"]


def pages(who, query, *, path="/api/deliveries", between=lambda: None, cursor=""):
    """Follow a list to its end; returns the pages."""
    found = []
    while cursor is not None:
        body = who.get(f"{path}?{query}{cursor and f'&cursor={cursor}'}").json
        found.append(body["items"])
        cursor = body["next_cursor"]
        between()
    return found


def names(found):
    return [item["item_name"] for page in found for item in page]


@pytest.fixture
def shelf(people):
    """Seven deliveries; those with odd numbers were edited, the last of them first."""
    dispatcher = people.dispatcher()
    made = [dispatcher.create(item_name=str(number)) for number in range(7)]
    for delivery in reversed(made[1::2]):
        path = f"/api/deliveries/{delivery['id']}"
        assert dispatcher.patch(path, json={"description": "x"}, headers={"If-Match": "*"}).status_code == 200
    return dispatcher


ORDERS = {
    "created_at": ["0", "1", "2", "3", "4", "5", "6"],
    "updated_at": ["0", "2", "4", "6", "5", "3", "1"],
}
ORDERS |= {f"-{sort}": order[::-1] for sort, order in list(ORDERS.items())}


@pytest.mark.parametrize("sort", SORTS)
def test_each_order_is_complete_at_every_limit(shelf, sort):
    for limit in (1, 2, 3, 6, 7, 8, 100):
        found = pages(shelf, f"sort={sort}&limit={limit}")
        assert names(found) == ORDERS[sort]
        assert [len(page) for page in found[:-1]] == [limit] * (len(found) - 1)
        assert found[-1], "no page is empty"


def test_the_newest_come_first_by_default_and_twenty_at_a_time(shelf):
    assert names(pages(shelf, "")) == ORDERS["-created_at"]
    for number in range(15):
        shelf.create(item_name=f"more {number}")
    assert [len(page) for page in pages(shelf, "")] == [20, 2]


@pytest.mark.parametrize("sort", SORTS)
def test_what_is_added_while_somebody_turns_pages_neither_repeats_nor_hides_a_row(shelf, sort):
    found = pages(shelf, f"sort={sort}&limit=2&q=grace", between=added_up_to(shelf, 4))
    seen = names(found)
    assert len(seen) == len(set(seen))
    assert [name for name in seen if not name.startswith("new")] == ORDERS[sort]


def added_up_to(who, most):
    made = []

    def add():
        if len(made) < most:
            made.append(who.create(item_name=f"new {len(made)}"))

    return add


def test_what_is_deleted_while_somebody_turns_pages_hides_nothing_else(shelf):
    first = shelf.get("/api/deliveries?limit=2").json
    for item in first["items"]:
        assert shelf.delete(f"/api/deliveries/{item['id']}", headers={"If-Match": "*"}).status_code == 204
    rest = pages(shelf, "limit=2", cursor=first["next_cursor"])
    assert names(rest) == ORDERS["-created_at"][2:]


def test_rows_of_one_moment_are_told_apart(shelf, people, app):
    """Many rows may have one updated_at; the id decides between them."""
    with app.app_context(), transaction() as session:
        session.execute(update(Delivery).values(updated_at=clock.now()))
    for sort in ("updated_at", "-updated_at"):
        found = pages(shelf, f"sort={sort}&limit=2")
        assert sorted(names(found)) == ORDERS["created_at"]


def test_a_limit_that_is_none_is_a_422(people):
    admin = people.admin()
    one = admin.create()["id"]
    lists = (f"deliveries/{one}/events", "deliveries", "users", f"users/{admin.user_id}/deliveries")
    limits = ["0", "-1", "101", "9" * 20, "9" * 5000, "abc", "", "1.5", "1e1", "NaN", "null", "%00"]
    for path, limit in itertools.product(lists, limits):
        assert wrong(admin.get(f"/api/{path}?limit={limit}")).keys() <= {"/limit", "/limit/0"}, limit


def cursors(people):
    """Cursors that no list gave out, or another list, or another order."""
    admin = people.admin()
    one = admin.create()
    for _ in range(2):
        admin.create()
        admin.walk(one, "on_hold", "pending")
    own = admin.get("/api/deliveries?limit=1").json["next_cursor"]
    return admin, own, one["id"], {
        "users": admin.get("/api/users?limit=1").json["next_cursor"] or "x",
        "another order": admin.get("/api/deliveries?limit=1&sort=updated_at").json["next_cursor"],
        "a history": admin.get(f"/api/deliveries/{one['id']}/events?limit=1").json["next_cursor"],
        "cut": own[:-1],
        "longer": own + "A",
        "changed": ("A" if own[0] != "A" else "B") + own[1:],
        "no signature": own.rpartition(".")[0],
        "a word": "abc",
        "one character": ".",
        "an id": one["id"],
        "base64": "WyItY3JlYXRlZF9hdCJd",
        "a compressed bomb": ".eJw" + "A" * 900,
        "non-ASCII": "%C3%A9.%F0%9F%90%8E",
        "invalid UTF-8": "%ff%fe.%00"[:6],
        "SQL": "1'%20OR%201=1",
        "a number": "2",
    }  # fmt: skip


def test_a_forged_or_foreign_cursor_is_a_400(people):
    admin, own, one, hostile = cursors(people)
    assert admin.get(f"/api/deliveries?cursor={own}").status_code == 200
    for name, cursor in hostile.items():
        response = admin.get(f"/api/deliveries?cursor={cursor}")
        assert response.status_code == 400, f"{name}: {response.text}"
        problem(response, 400, "bad_cursor")
        if name != "a history":
            problem(admin.get(f"/api/deliveries/{one}/events?cursor={cursor}"), 400, "bad_cursor")
        problem(admin.get(f"/api/users?cursor={own}"), 400, "bad_cursor")
    for too_long in ("A" * 1001, own * 20):
        assert wrong(admin.get(f"/api/deliveries?cursor={too_long}")) == {"/cursor": "invalid"}


def test_a_cursor_of_another_deliverys_history_is_a_400(people):
    dispatcher = people.dispatcher()
    first, second = dispatcher.create(), dispatcher.create()
    dispatcher.walk(first, "on_hold", "pending")
    cursor = dispatcher.get(f"/api/deliveries/{first['id']}/events?limit=1").json["next_cursor"]
    problem(dispatcher.get(f"/api/deliveries/{second['id']}/events?cursor={cursor}"), 400, "bad_cursor")


def test_a_history_has_pages_too(people):
    dispatcher = people.dispatcher()
    delivery = dispatcher.create()
    for _ in range(3):
        dispatcher.walk(delivery, "on_hold", "pending")
    path = f"/api/deliveries/{delivery['id']}/events"
    for limit in (1, 3, 7, 8):
        found = pages(dispatcher, f"limit={limit}", path=path)
        assert [event["seq"] for page in found for event in page] == [1, 2, 3, 4, 5, 6, 7]
        assert found[-1]


def test_an_empty_list_is_one_empty_page(api):
    assert api.get("/api/deliveries").json == {"items": [], "next_cursor": None}
