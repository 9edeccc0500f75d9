"""Each method of the Python client does what it says, against the app behind a real socket."""

from datetime import UTC, datetime, timedelta

import delivery_client
import pytest

from delivery.deliveries.numbering import number_new_events
from tests.clients.conftest import GRACE
from tests.webhooks.making import endpoint


def test_a_delivery_goes_from_order_to_doorstep(client, people, connect):
    made = client.deliveries.create(**GRACE, reference="order-1001", draft=True, tags=["fragile"])
    assert (made["status"], made["reference"], made["tags"]) == ("draft", "order-1001", ["fragile"])
    assert client.deliveries.move(made["id"], "pending", note="paid")["status"] == "pending"
    staff = people.dispatcher(email="desk@people.example")
    desk = connect(email="desk@people.example", password="correct horse battery staple")
    courier = people.courier()
    desk.deliveries.move(made["id"], "assigned", courier_id=courier.user_id)
    for state in ("picked_up", "delivered"):
        moved = desk.deliveries.move(made["id"], state, occurred_at=datetime.now(UTC) - timedelta(seconds=1))
    assert moved["status"] == client.deliveries.get(made["id"])["status"] == "delivered"
    history = list(client.deliveries.events(made["id"], limit=2))
    assert [event["to_state"] for event in history] == ["draft", "pending", "assigned", "picked_up", "delivered"]
    assert history[-1]["actor_id"] == staff.user_id


def test_an_edit_and_a_deletion_need_the_version_that_was_seen(client):
    seen = client.deliveries.create(**GRACE)
    edited = client.deliveries.edit(seen, item_name="Red bicycle")
    assert (edited["item_name"], edited["version"]) == ("Red bicycle", seen["version"] + 1)
    with pytest.raises(delivery_client.StaleVersion) as stale:
        client.deliveries.edit(seen, item_name="Green bicycle")
    assert (stale.value.code, stale.value.status) == ("stale_version", 412)
    with pytest.raises(delivery_client.StaleVersion):
        client.deliveries.delete(seen)
    client.deliveries.delete(edited)
    with pytest.raises(delivery_client.NotFound):
        client.deliveries.get(seen["id"])


def test_a_list_passes_none_over_while_rows_are_added(client):
    before = [client.deliveries.create(**GRACE)["id"] for _ in range(5)]
    found = []
    for delivery in client.deliveries.list(limit=2):
        found.append(delivery["id"])
        client.deliveries.create(**GRACE)
    assert found == before[::-1]


def test_a_list_that_goes_forward_finds_what_is_added_meanwhile(client):
    seen, made = [], [client.deliveries.create(**GRACE)["id"] for _ in range(2)]
    for delivery in client.deliveries.list(sort="created_at", limit=1):
        seen.append(delivery["id"])
        if len(made) < 4:
            made.append(client.deliveries.create(**GRACE)["id"])
    assert seen == made


def test_filters_are_sent_as_the_api_takes_them(client):
    tagged = client.deliveries.create(**GRACE, tags=["cold", "heavy"])
    client.deliveries.create(**GRACE, tags=["cold"])
    hour_ago = datetime.now(UTC) - timedelta(hours=1)
    asked = {"tag": ["cold", "heavy"], "status": ["pending", "draft"], "unassigned": True, "created_after": hour_ago}
    assert tagged["id"] in [one["id"] for one in client.deliveries.list(**asked)]
    assert list(client.deliveries.list(status=["lost"])) == []
    with pytest.raises(delivery_client.Invalid) as wrong:
        next(client.deliveries.list(limit=1000))
    assert wrong.value.errors[0]["pointer"] == "/limit"


def test_a_time_without_a_zone_is_refused_before_it_is_sent(client, front):
    with pytest.raises(TypeError, match="zone"):
        client.deliveries.create(**GRACE, window={"earliest": datetime(2030, 5, 1, 9)})  # noqa: DTZ001  that is the point
    assert front.asked == []


def test_an_error_names_every_wrong_field_and_its_request(client):
    with pytest.raises(delivery_client.Invalid) as wrong:
        client.deliveries.create(**GRACE | {"item_name": "", "recipent": {}})
    assert {error["pointer"] for error in wrong.value.errors} == {"/item_name", "/recipent"}
    assert wrong.value.code == "validation_failed"
    assert wrong.value.request_id
    assert "/recipent" in str(wrong.value)


def test_a_conflict_carries_what_the_problem_says_besides(client):
    first = client.deliveries.create(**GRACE, reference="order-7")
    with pytest.raises(delivery_client.Conflict) as twice:
        client.deliveries.create(**GRACE, reference="order-7")
    assert (twice.value.code, twice.value.problem["existing_id"]) == ("duplicate_reference", first["id"])
    with pytest.raises(delivery_client.Conflict) as moved:
        client.deliveries.move(first["id"], "returned")
    assert moved.value.code == "illegal_move"


def test_an_id_with_a_slash_in_it_leads_nowhere_else(client):
    with pytest.raises(delivery_client.NotFound):
        client.deliveries.get("../notifications")


def test_messages_are_listed_read_and_sent_again(client):
    made = client.deliveries.create(**GRACE)
    about = list(client.deliveries.notifications(made["id"], limit=1))
    assert {message["audience"] for message in about} == {"recipient", "sender"}
    assert {message["id"] for message in about} <= {message["id"] for message in client.notifications.list()}
    one = client.notifications.get(about[0]["id"])
    assert (one["state"], one["attempts_made"]) == ("pending", [])
    with pytest.raises(delivery_client.Conflict) as early:
        client.notifications.resend(one["id"])
    assert early.value.code == "not_resendable"


def test_an_endpoint_is_made_changed_and_deleted(client, app, shop):
    made = client.webhook_endpoints.create(url="https://shop.example/hooks", events=["delivery.delivered"])
    assert made["secret"].startswith("whsec_")
    assert client.webhook_endpoints.get(made["id"])["status"] == "unverified"
    changed = client.webhook_endpoints.edit(made, description="The shop")
    assert client.webhook_endpoints.verify(made["id"])["id"] == made["id"]
    rotated = client.webhook_endpoints.rotate_secret(made["id"])
    assert rotated["secret"] not in {None, made["secret"]}
    assert [one["description"] for one in client.webhook_endpoints.list(limit=1)] == ["The shop"]
    with pytest.raises(delivery_client.StaleVersion):
        client.webhook_endpoints.delete(changed)
    client.webhook_endpoints.delete(rotated)
    active = endpoint(app, shop.api.user_id, status="active")
    client.webhook_endpoints.test(active)
    disabled = endpoint(app, shop.api.user_id, status="disabled", reason="gone")
    assert client.webhook_endpoints.enable(disabled)["status"] == "unverified"


def test_the_feed_goes_on_where_it_was_left(client, app):
    def numbered():
        with app.app_context():
            number_new_events()

    made = [client.deliveries.create(**GRACE)["id"] for _ in range(3)]
    numbered()
    pages = list(client.events.pages(limit=2))
    assert [event["data"]["delivery_id"] for page in pages for event in page["items"]] == made
    later = client.deliveries.create(**GRACE)["id"]
    numbered()
    (page,) = client.events.pages(after=pages[-1]["next_after"])
    assert [event["data"]["delivery_id"] for event in page["items"]] == [later]
