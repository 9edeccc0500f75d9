"""What has expired goes; what has not stays."""

import pytest
from sqlalchemy import func, select

from delivery import audit
from delivery.audit import services
from delivery.auth.models import AuthSession
from delivery.database import db, transaction
from delivery.idempotency import KEPT_HOURS, IdempotencyKey
from delivery.ops import housekeeping
from delivery.ops.housekeeping import Housekeeping
from tests.factories import delivery_in


def rows(app, model):
    with app.app_context():
        return db.session.execute(select(func.count()).select_from(model)).scalar_one()


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


def test_sessions_go_when_they_have_run_out(app, api, travel):
    keep_house(app)
    assert rows(app, AuthSession) == 1

    travel(minutes=31)
    keep_house(app)
    assert rows(app, AuthSession) == 0


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
