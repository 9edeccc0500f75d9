"""The Python client's log of webhooks: what was sent, once more, and all of a range again."""

from datetime import UTC, datetime, timedelta

import delivery_client
import pytest

from tests.clients.conftest import GRACE
from tests.webhooks.making import endpoint, webhook

NOBODYS = "0190a0a0-0000-7000-8000-000000000003"


def test_what_never_arrived_is_found_read_and_sent_again(client, app, shop, front):
    lost = webhook(app, shop.api.user_id)
    [one] = client.webhook_deliveries.list(state="dead", event="endpoint.test", limit=1)
    assert (one["id"], one["settled_at"] is None) == (lost, False)
    other = endpoint(app, shop.api.user_id)
    assert {one["event"] for one in client.webhook_deliveries.list(endpoint_id=other)} == {"endpoint.verify"}
    assert client.webhook_deliveries.get(lost)["attempts_made"] == []
    front.lose_answer()  # asked again, it is sent once
    assert client.webhook_deliveries.redeliver(lost) == {"id": lost}
    with pytest.raises(delivery_client.Conflict) as twice:
        client.webhook_deliveries.redeliver(lost)
    assert twice.value.code == "on_its_way"
    with pytest.raises(delivery_client.NotFound):
        client.webhook_deliveries.get(NOBODYS)


def test_a_range_is_sent_again_batch_by_batch(client, app, shop, monkeypatch):
    monkeypatch.setattr("delivery.webhooks.replaying.BATCH_SIZE", 2)
    made = [client.deliveries.create(**GRACE)["id"] for _ in range(3)]
    client.deliveries.move(made[0], "cancelled")
    new = endpoint(app, shop.api.user_id, status="active")
    asked = {"since": datetime.now(UTC) - timedelta(hours=1), "events": ["delivery.created"]}
    batch, counts = {"next_cursor": None}, []
    while not counts or batch["next_cursor"]:
        batch = client.webhook_endpoints.replay(new, **asked, cursor=batch["next_cursor"])
        counts.append(batch["made"] + batch["repeated"])
    assert sum(counts) == len(made)
    assert len(counts) > 1
    log = client.webhook_deliveries.list(endpoint_id=new, event="delivery.created", limit=2)
    assert {one["delivery_id"] for one in log} == set(made)


def test_a_key_makes_a_replay_happen_once(client, app, shop):
    client.deliveries.create(**GRACE)
    new = endpoint(app, shop.api.user_id, status="active")
    hour_ago = datetime.now(UTC) - timedelta(hours=1)
    answers = [client.webhook_endpoints.replay(new, since=hour_ago, idempotency_key="missed-monday") for _ in range(2)]
    assert answers == [{"repeated": 0, "made": 1, "next_cursor": None}] * 2
    with pytest.raises(delivery_client.Invalid):
        client.webhook_endpoints.replay(new, since="2020-01-01T00:00:00Z")
