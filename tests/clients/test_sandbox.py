"""The Python client with a test key: a delivery goes through a scenario, and nobody is told but the program."""

import delivery_client
import pytest

from tests.auth.keys import made
from tests.clients.conftest import GRACE


@pytest.fixture
def trial(connect, shop):
    return connect(api_key=made(shop.api, test=True)["secret"])


def test_a_scenario_is_gone_through_step_by_step_and_to_its_end(trial, front):
    [returned] = [one for one in trial.sandbox.scenarios() if one["name"] == "returned"]
    delivery = trial.deliveries.create(**GRACE, draft=True)
    assert delivery["test"]
    front.lose_answer()  # asked again, it is the same move
    first = trial.sandbox.advance(delivery["id"], scenario="returned")
    assert (first["made"], first["next"]) == (returned["steps"][:1], returned["steps"][1])
    rest = trial.sandbox.advance(delivery["id"], to_end=True)
    assert (rest["made"], rest["next"]) == (returned["steps"][1:], None)
    assert rest["delivery"] == trial.deliveries.get(delivery["id"])
    with pytest.raises(delivery_client.Conflict) as over:
        trial.sandbox.advance(delivery["id"], steps=1)
    assert over.value.code == "scenario_over"


def test_what_would_be_sent_can_be_read(trial):
    delivery, other = (trial.deliveries.create(**GRACE) for _ in range(2))
    trial.sandbox.advance(delivery["id"], to_end=True)
    told = list(trial.sandbox.messages(delivery_id=delivery["id"], channel="mail", audience="recipient", limit=2))
    assert {one["to"] for one in told} == {"grace@home.example"}
    assert told[0]["event"] == "delivered"
    assert len(told) > 2
    assert {one["delivery_id"] for one in trial.sandbox.messages()} == {delivery["id"], other["id"]}


def test_a_live_key_is_refused(client):
    with pytest.raises(delivery_client.Forbidden) as refused:
        client.sandbox.scenarios()
    assert refused.value.code == "test_only"
