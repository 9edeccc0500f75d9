"""The feed: every event once, in an order in which none is passed over, whoever commits when."""

import threading

import pytest
from sqlalchemy import text

from delivery.database import db, transaction
from delivery.deliveries.events import DeliveryCreated
from tests.notifications.conftest import on_postgresql
from tests.web.answers import problem
from tests.webhooks.conftest import FEED


def sequences(page, delivery):
    return [one["data"]["sequence"] for one in page["items"] if one["data"]["delivery_id"] == delivery["id"]]


def test_the_feed_says_what_the_webhooks_say(hooks, receiver):
    hooks.active()
    delivery = hooks.api.create(reference="A-1")
    hooks.api.move(delivery, "cancelled")
    hooks.drain()
    hooks.drain()
    hooks.number()
    page = hooks.feed()
    assert [one["type"] for one in page["items"]] == ["delivery.created", "delivery.cancelled"]
    assert page["items"] == [request.json for request in receiver.requests]
    assert page["has_more"] is False


def test_pages_follow_each_other_and_wait_for_more(hooks):
    deliveries = [hooks.api.create() for _ in range(5)]
    hooks.number()
    first = hooks.feed(limit=2)
    second = hooks.feed(first["next_after"], limit=2)
    third = hooks.feed(second["next_after"], limit=2)
    assert [first["has_more"], second["has_more"], third["has_more"]] == [True, True, False]
    ids = [one["data"]["delivery_id"] for page in (first, second, third) for one in page["items"]]
    assert ids == [delivery["id"] for delivery in deliveries]
    waiting = hooks.feed(third["next_after"])
    assert waiting["items"] == []
    hooks.api.move(deliveries[0], "cancelled")
    hooks.number()
    assert sequences(hooks.feed(waiting["next_after"]), deliveries[0]) == [2]


def test_one_may_begin_with_what_comes_now(hooks):
    hooks.api.create()
    hooks.number()
    latest = hooks.feed("latest")
    assert latest["items"] == []
    delivery = hooks.api.create()
    hooks.number()
    assert sequences(hooks.feed(latest["next_after"]), delivery) == [1]


def test_everybody_reads_of_what_they_may_see(hooks, people):
    hooks.api.create()
    people.customer().create()
    hooks.number()
    assert len(hooks.feed()["items"]) == 1
    assert len(hooks.feed(api=people.dispatcher())["items"]) == 2
    assert hooks.feed(api=people.courier())["items"] == []


def test_who_sees_little_comes_forward_all_the_same(hooks, people, monkeypatch):
    monkeypatch.setattr("delivery.webhooks.queries.WINDOW", 2)
    other = people.customer()
    for _ in range(5):
        other.create()
    delivery = hooks.api.create()
    hooks.number()
    after, found, asked = None, [], 0
    while asked < 10:
        page = hooks.feed(after)
        found, after, asked = found + page["items"], page["next_after"], asked + 1
        if not page["has_more"]:
            break
    assert [one["data"]["delivery_id"] for one in found] == [delivery["id"]]
    assert asked == 3


def test_a_cursor_of_another_list_is_refused(hooks):
    problem(hooks.api.get(FEED, query_string={"after": "x"}), 400, "bad_cursor")


@on_postgresql
def test_an_event_that_commits_late_is_not_passed_over(hooks, app):
    """A transaction that wrote its event first and commits last, while others are read."""
    early = hooks.api.create()
    written, may_commit = threading.Event(), threading.Event()

    def hold(_fact):
        if threading.current_thread().name == "late":
            written.set()
            may_commit.wait(10)

    reactions = app.extensions["delivery.reactions"]
    app.extensions["delivery.reactions"] = {**reactions, DeliveryCreated: [*reactions[DeliveryCreated], hold]}
    ids = []
    late = threading.Thread(target=lambda: ids.append(hooks.api.create()), name="late")
    late.start()
    assert written.wait(10)
    hooks.api.client = app.test_client()
    quick = hooks.api.create()
    hooks.number()
    page = hooks.feed()
    assert [sequences(page, one) for one in (early, quick)] == [[1], [1]]
    assert len(page["items"]) == 2
    may_commit.set()
    late.join()
    assert hooks.number() == 1
    [one] = hooks.feed(page["next_after"])["items"]
    assert one["data"]["delivery_id"] == ids[0]["id"]


@on_postgresql
def test_a_batch_that_commits_late_holds_the_next_one_up(hooks, app):
    """Two who number at once: a later batch must not become visible before an earlier one."""
    hooks.api.create()
    with app.app_context(), transaction() as session:
        assert session.execute(text("SELECT pg_try_advisory_xact_lock(5120733641908275)")).scalar_one()
        numbers = []
        other = threading.Thread(target=lambda: numbers.append(hooks.number()))
        other.start()
        other.join(10)
        assert numbers == [0]
    assert hooks.number() == 1


def test_a_deliverys_events_keep_their_order_whatever_the_clocks_say(hooks, travel):
    delivery = hooks.api.create()
    travel(minutes=-5)
    hooks.api.move(delivery, "cancelled")
    other = hooks.api.create()
    hooks.number()
    page = hooks.feed()
    assert sequences(page, delivery) == [1, 2]
    assert sequences(page, other) == [1]


def test_a_backlog_is_numbered_batch_by_batch(hooks, monkeypatch):
    monkeypatch.setattr("delivery.deliveries.numbering.BATCH_SIZE", 2)
    delivery = hooks.api.create()
    for _ in range(4):
        hooks.api.create()
    hooks.api.move(delivery, "cancelled")
    assert hooks.number() == 6
    assert hooks.number() == 0
    page = hooks.feed()
    assert len(page["items"]) == 6
    assert sequences(page, delivery) == [1, 2]


@pytest.mark.parametrize(
    "change", ["position = 7", "position = NULL", "position = 7, kind = 'edited'", "recorded_at = occurred_at"]
)
def test_a_position_is_given_once_and_nothing_else_is_changed(hooks, app, change):
    hooks.api.create()
    hooks.number()
    with app.app_context(), pytest.raises(Exception, match="append-only"), transaction():
        db.session.execute(text(f"UPDATE delivery_events SET {change}"))


def test_every_column_but_the_position_is_fixed(hooks, app):
    """A column that is added later must be added to the triggers."""
    hooks.api.create()
    for column in db.metadata.tables["delivery_events"].c:
        if column.name not in {"position", "prev_seq"}:
            with app.app_context(), pytest.raises(Exception, match="append-only"), transaction():
                db.session.execute(text(f"UPDATE delivery_events SET {column.name} = {column.name}"))
