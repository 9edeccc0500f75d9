"""Limits are rows: they count exactly, for each account, address and pair, also when many come at once."""

import pytest
from sqlalchemy import func, select

from delivery import limits
from delivery.database import db, transaction
from delivery.errors import TooMany
from tests.web.racing import race


@pytest.fixture
def tries(app):
    """Call it to try something from an address; it tells whether that was refused."""

    def attempt(action, subject=None, address="192.0.2.1"):
        with app.test_request_context(environ_base={"REMOTE_ADDR": address}):
            try:
                return limits.take(action, subject)
            except TooMany:
                return None

    return attempt


def test_five_a_quarter_of_an_hour_for_an_account_from_one_address(tries, travel):
    assert all(tries(limits.LOGIN, "ada@x.example") for _ in range(5))
    assert not tries(limits.LOGIN, "ada@x.example")
    assert not tries(limits.LOGIN, " ADA@x.example")
    assert tries(limits.LOGIN, "ada@x.example", "192.0.2.2")
    assert tries(limits.LOGIN, "bob@x.example")
    travel(minutes=15, seconds=1)
    assert tries(limits.LOGIN, "ada@x.example")


def test_the_window_moves(tries, travel):
    for _ in range(5):
        tries(limits.LOGIN, "ada@x.example")
        travel(minutes=3)
    assert tries(limits.LOGIN, "ada@x.example")  # the first has left the window
    assert not tries(limits.LOGIN, "ada@x.example")


def test_an_address_has_a_limit_over_all_accounts(tries):
    assert sum(bool(tries(limits.LOGIN, f"a{number}@x.example")) for number in range(25)) == 20


def test_an_account_has_a_limit_over_all_addresses(tries):
    assert sum(bool(tries(limits.LOGIN, "ada@x.example", f"192.0.2.{number}")) for number in range(35)) == 30


def test_a_stranger_does_not_spend_an_owners_resets(tries, travel):
    """Two an hour and five a day from a place, five and twenty from all together."""
    assert sum(bool(tries(limits.FORGOT, "ada@x.example", "192.0.2.66")) for _ in range(9)) == 2
    assert tries(limits.FORGOT, "ada@x.example"), "the owner's own"
    assert sum(bool(tries(limits.FORGOT, "ada@x.example", f"198.51.100.{number}")) for number in range(9)) == 2
    asked = 5
    for _ in range(5):
        travel(hours=1, seconds=1)
        asked += sum(bool(tries(limits.FORGOT, "ada@x.example", f"203.0.113.{number}")) for number in range(9))
    assert asked == 20
    assert tries(limits.FORGOT, "bob@x.example")


def test_from_one_place_five_resets_a_day(tries, travel):
    asked = 0
    for _ in range(5):
        asked += sum(bool(tries(limits.FORGOT, "ada@x.example")) for _ in range(3))
        travel(hours=1, seconds=1)
    assert asked == 5
    assert tries(limits.FORGOT, "ada@x.example", "192.0.2.2")


def test_a_customer_with_a_whole_ipv6_network_is_one(tries):
    assert sum(bool(tries(limits.LOGIN, "ada@x.example", f"2001:db8::{number:x}")) for number in range(1, 9)) == 5
    assert tries(limits.LOGIN, "ada@x.example", "2001:db8:0:1::1")


def test_an_address_is_the_same_in_either_notation(tries):
    assert sum(bool(tries(limits.CONFIRM, address=one)) for one in 6 * ["192.0.2.1", "::ffff:192.0.2.1"]) == 10


def test_the_answer_says_when_there_is_room_again(app, tries, travel):
    for _ in range(2):
        tries(limits.FORGOT, "ada@x.example")
        travel(minutes=10)
    with app.test_request_context(environ_base={"REMOTE_ADDR": "192.0.2.1"}), pytest.raises(TooMany) as caught:
        limits.take(limits.FORGOT, "ada@x.example")
    seconds = int(caught.value.headers["Retry-After"])
    assert 40 * 60 - 5 <= seconds <= 40 * 60
    assert caught.value.headers["RateLimit-Remaining"] == "0"
    travel(seconds=seconds)
    assert tries(limits.FORGOT, "ada@x.example")


def test_fifty_at_once_get_no_more_than_the_limit(app, tries):
    assert sum(bool(one) for one in race(*[lambda: tries(limits.LOGIN, "ada@x.example")] * 16)) == 5


def test_what_was_refused_does_not_count(tries, travel):
    for _ in range(5):
        tries(limits.LOGIN, "ada@x.example")
    travel(minutes=14)
    assert not tries(limits.LOGIN, "ada@x.example")
    travel(minutes=2)
    assert tries(limits.LOGIN, "ada@x.example")


def test_a_hundred_in_a_row_bar_the_account_until_it_is_forgiven(app, tries, travel):
    for number in range(100):
        assert not tries(limits.LOGIN, "ada@x.example", f"192.0.2.{number}").barred
        travel(minutes=3)
    travel(days=300)
    assert tries(limits.LOGIN, "ada@x.example").barred
    with app.app_context(), transaction():
        limits.forgive_all("ada@x.example")
    assert not tries(limits.LOGIN, "ada@x.example").barred


def test_success_forgives_this_address_and_no_other(app, tries):
    for _ in range(4):
        tries(limits.LOGIN, "ada@x.example", "192.0.2.2")
        last = tries(limits.LOGIN, "ada@x.example")
    with app.app_context(), transaction():
        limits.forgive(last)
    assert sum(bool(tries(limits.LOGIN, "ada@x.example", "192.0.2.2")) for _ in range(3)) == 1
    assert sum(bool(tries(limits.LOGIN, "ada@x.example")) for _ in range(6)) == 5


def test_rows_are_kept_as_long_as_a_limit_looks_at_them(app, tries, travel):
    longest = max(limit.seconds for rules in limits.LIMITS.values() for limit in rules)
    assert longest <= limits.KEPT_SECONDS

    def left():
        with app.app_context(), transaction():
            limits.purge(100)
            return [db.session.scalar(select(func.count()).select_from(t)) for t in (limits.Attempt, limits.Streak)]

    tries(limits.LOGIN, "ada@x.example")
    assert left() == [1, 1]
    travel(days=1, seconds=1)
    assert left() == [0, 1]
    travel(days=400)
    assert left() == [0, 0]


def test_no_address_is_stored(app, tries):
    tries(limits.LOGIN, "ada@x.example")
    with app.app_context():
        row = db.session.execute(limits.Attempt.__table__.select()).one()
    assert b"ada" not in bytes(row.subject)
    assert len(row.subject) == len(row.address) == 32
