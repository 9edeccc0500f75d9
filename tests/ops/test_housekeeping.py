"""What has expired goes; what has not stays."""

import pytest
from sqlalchemy import func, select

from delivery import audit
from delivery.audit import services
from delivery.auth.models import AuthSession, RefreshToken
from delivery.database import db, transaction
from delivery.idempotency import KEPT_HOURS, IdempotencyKey
from delivery.ops import housekeeping
from delivery.ops.housekeeping import Housekeeping
from tests.auth.signing_in import refresh
from tests.conftest import rows
from tests.factories import delivery_in


@pytest.fixture
def keyed(api):
    for number in range(3):
        headers = {"Idempotency-Key": f"key-{number}"}
        assert api.post("/api/deliveries", json=delivery_in(), headers=headers).status_code == 201
    return api


def keep_house(app):
    with app.app_context():
        Housekeeping().do()


def test_saved_answers_are_kept_for_48_hours(app, keyed, travel):
    travel(hours=KEPT_HOURS, minutes=-1)
    keep_house(app)
    assert rows(app, IdempotencyKey) == 3

    travel(minutes=2)
    keep_house(app)
    assert rows(app, IdempotencyKey) == 0


def test_sessions_go_when_they_have_run_out_and_their_refresh_tokens_with_them(app, api, travel):
    travel(days=10)
    assert refresh(api.client, api.refresh_token).status_code == 200
    keep_house(app)
    assert (rows(app, AuthSession), rows(app, RefreshToken)) == (1, 2)

    travel(days=4, minutes=1)
    keep_house(app)
    assert (rows(app, AuthSession), rows(app, RefreshToken)) == (1, 1)

    travel(days=10)
    keep_house(app)
    assert (rows(app, AuthSession), rows(app, RefreshToken)) == (0, 0)


def test_a_session_with_many_refresh_tokens_goes_bit_by_bit(app, api, travel, monkeypatch):
    monkeypatch.setattr(housekeeping, "BATCH_SIZE", 2)
    token = api.refresh_token
    for _ in range(4):
        token = refresh(api.client, token).json["refresh_token"]
    travel(days=15)
    keeper, left = Housekeeping(), []
    with app.app_context():
        for _ in range(3):
            keeper.do()
            left.append((rows(app, RefreshToken), rows(app, AuthSession)))
    assert left == [(3, 1), (1, 1), (0, 0)]


def test_a_large_heap_goes_batch_by_batch(app, keyed, travel, monkeypatch):
    monkeypatch.setattr(housekeeping, "BATCH_SIZE", 2)
    travel(hours=KEPT_HOURS + 1)
    keeper = Housekeeping()

    with app.app_context():
        keeper.do()
        assert db.session.execute(select(func.count()).select_from(IdempotencyKey)).scalar_one() == 1
        keeper.do()

    assert rows(app, IdempotencyKey) == 0


def test_between_two_rounds_nothing_is_asked(app, keyed, travel, count_statements):
    keeper = Housekeeping()
    with app.app_context():
        keeper.do()

    with app.app_context(), count_statements() as statements:
        keeper.do()

    assert statements == []


def test_the_audit_logs_head_is_logged_when_it_has_grown(app, caplog):
    def heads():
        caplog.clear()
        keeper._due_at = 0.0
        with app.app_context():
            keeper.do()
        return [record.code for record in caplog.records if "head" in record.msg]

    caplog.set_level("INFO")
    keeper = Housekeeping()
    assert heads() == []
    for _ in range(2):
        with app.app_context(), transaction():
            audit.record("a.done")
        with app.app_context():
            newest = services.head()
            assert services.holds(newest)
        assert heads() == [newest]
        assert heads() == []
