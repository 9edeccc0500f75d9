"""Thirty keys, ten threads each: one effect and one answer for each key."""

from sqlalchemy import func, select

from delivery.database import db
from delivery.deliveries.models import Delivery
from tests.factories import delivery_in
from tests.web.racing import race

KEYS, THREADS = 30, 10


def test_one_key_is_one_effect_however_many_ask_at_once(app, api):
    for number in range(KEYS):
        headers = {"Idempotency-Key": f"key-{number}"}
        responses = race(
            *[lambda headers=headers: api.post("/api/deliveries", json=delivery_in(), headers=headers)] * THREADS
        )

        assert {response.status_code for response in responses} == {201}
        assert len({response.data for response in responses}) == 1
        replayed = [response.headers.get("Idempotent-Replayed") for response in responses]
        assert replayed.count("true") == THREADS - 1
    with app.app_context():
        assert db.session.execute(select(func.count()).select_from(Delivery)).scalar_one() == KEYS
