"""POST /api/deliveries: what is stored is what was sent, and nothing that was not the sender's to say."""

from uuid import UUID, uuid4

from sqlalchemy import func, select

from delivery.database import db
from delivery.deliveries.models import Delivery, Tag
from tests.factories import delivery_in
from tests.web.answers import problem, wrong

WHOLE = {
    "item_name": "Blue bicycle",
    "description": "Two wheels.\n\tHandle with care.",
    "reference": "order-1001",
    "recipient": {"name": "Grace", "email": "grace@home.example", "phone": "+442079460000", "locale": "pt-BR"},
    "pickup": {"line1": "1 Shop Road", "city": "Leeds", "country": "GB", "lat": 53.8, "lng": -1.5},
    "destination": {
        "line1": "12 Harbour Street", "line2": "Flat 3", "city": "Bristol", "region": "Avon", "postcode": "BS1 4ST",
        "country": "GB", "lat": -90, "lng": 180, "notes": "Ring\ntwice.",
    },
    "package": {"weight_grams": 12000, "pieces": 2, "length_mm": 1800, "width_mm": 400, "height_mm": 1000},
    "window": {"earliest": "2026-12-24T10:00:00Z", "latest": "2026-12-24T12:00:00.123456Z"},
    "requirements": {"photo": True, "signature": False, "pin": True},
    "tags": ["bicycle", "fragile"],
}  # fmt: skip
NOT_THE_SENDERS = [
    "id", "status", "state", "version", "courier_id", "tracking_number", "created_at", "updated_at", "picked_up_at",
    "deleted_at", "allowed_transitions", "recipient_name", "window_earliest", "__proto__", "by", "_sa_instance_state"
]  # fmt: skip


def test_a_whole_delivery_comes_back_as_it_was_sent(api):
    response = api.post("/api/deliveries", json=WHOLE)

    assert response.status_code == 201
    made = response.json
    assert {name: made[name] for name in WHOLE} == WHOLE
    assert response.headers["Location"] == f"/api/deliveries/{made['id']}"
    assert response.headers["ETag"] == '"1"'
    assert api.get(response.headers["Location"]).json == made


def test_the_least_delivery_has_its_defaults(api):
    least = {"item_name": "X", "recipient": {"name": "G"}, "destination": {"line1": "1", "city": "B", "country": "GB"}}
    made = api.post("/api/deliveries", json=least).json

    assert made["status"] == "pending"
    assert made["allowed_transitions"] == ["cancelled"]
    assert made["recipient"] == {"name": "G", "email": None, "phone": None, "locale": "en"}
    assert made["window"] == {"earliest": None, "latest": None}
    assert made["requirements"] == {"photo": False, "signature": False, "pin": False}
    assert made["tags"] == []
    for name in ("reference", "description", "pickup", "package", "courier_id", "picked_up_at"):
        assert made[name] is None
    assert made["owner_id"] == api.user_id
    assert made["version"] == 1
    assert made["created_at"] == made["updated_at"]
    assert made["created_at"].endswith("Z")
    assert UUID(made["id"]).version == 7
    assert api.get(f"/api/deliveries/{made['id']}").json == made


def test_its_history_begins_with_it(api):
    for draft in (False, True):
        made = api.create(draft=draft)
        [event] = api.history(made)
        assert (event["seq"], event["kind"], event["from_state"]) == (1, "moved", None)
        assert event["to_state"] == made["status"] == ("draft" if draft else "pending")
        assert event["actor_id"] == api.user_id


def test_times_are_in_utc_whatever_zone_they_came_in(api):
    made = api.create(window={"earliest": "2026-06-01T10:00:00+05:30", "latest": "2026-06-01T10:00:00-03:00"})

    assert made["window"] == {"earliest": "2026-06-01T04:30:00Z", "latest": "2026-06-01T13:00:00Z"}
    assert api.get(f"/api/deliveries/{made['id']}").json["window"] == made["window"]


def test_words_are_trimmed_and_numbers_and_addresses_are_written_one_way(api):
    made = api.create(
        item_name="  Blue bicycle\u00a0 ",
        reference=" r1 ",
        recipient={"name": " G ", "email": " Grace@HOME.example ", "phone": " +44 (0)20 7946-0000 "},
        tags=[" b ", "a", "b"],
    )
    assert (made["item_name"], made["reference"], made["tags"]) == ("Blue bicycle", "r1", ["a", "b"])
    assert made["recipient"]["email"] == "grace@home.example"
    assert made["recipient"]["phone"] == "+442079460000"


def test_what_is_not_the_senders_to_say_is_refused(api):
    for name in NOT_THE_SENDERS:
        assert wrong(api.post("/api/deliveries", json=delivery_in(**{name: "1"}))) == {f"/{name}": "unknown"}
        for nested in ("recipient", "destination"):
            body = delivery_in()
            body[nested][name] = 1
            assert wrong(api.post("/api/deliveries", json=body)) == {f"/{nested}/{name}": "unknown"}


def test_a_reference_is_taken_once_by_each_owner(api, people):
    first = api.create(reference="order-1")
    body = problem(api.post("/api/deliveries", json=delivery_in(reference="order-1")), 409, "duplicate_reference")

    assert body["existing_id"] == first["id"]
    assert people.customer().create(reference="order-1")["reference"] == "order-1"
    assert api.create(reference=None)["id"] != api.create(reference=None)["id"]
    assert api.create(reference="ORDER-1")["reference"] == "ORDER-1"


def test_a_refused_delivery_leaves_nothing_behind(app, api):
    api.create(reference="order-1", tags=["kept"])
    problem(api.post("/api/deliveries", json=delivery_in(reference="order-1", tags=["lost"])), 409)
    with app.app_context():
        assert db.session.execute(select(func.count()).select_from(Delivery)).scalar_one() == 1
        assert db.session.execute(select(Tag.name)).scalars().all() == ["kept"]


def test_only_staff_may_create_for_somebody_else(people):
    customer, other = people.customer(), people.customer()
    body = delivery_in(owner_id=customer.user_id)

    problem(other.post("/api/deliveries", json=body), 403, "forbidden")
    assert customer.create(owner_id=customer.user_id)["owner_id"] == customer.user_id
    for staff in (people.dispatcher(), people.admin()):
        made = staff.create(owner_id=customer.user_id)
        assert made["owner_id"] == customer.user_id
        assert customer.get(f"/api/deliveries/{made['id']}").status_code == 200
        assert other.get(f"/api/deliveries/{made['id']}").status_code == 404


def test_an_owner_must_be_there_and_active(people):
    dispatcher, admin, gone = people.dispatcher(), people.admin(), people.customer()
    assert gone.delete(f"/api/users/{gone.user_id}", headers={"If-Match": "*"}).status_code == 204
    asleep = people.customer()
    path = f"/api/users/{asleep.user_id}"
    assert admin.patch(path, json={"active": False}, headers={"If-Match": "*"}).status_code == 200
    for owner_id in (str(uuid4()), gone.user_id, asleep.user_id):
        assert wrong(dispatcher.post("/api/deliveries", json=delivery_in(owner_id=owner_id))) == {
            "/owner_id": "invalid"
        }


def test_a_courier_carries_and_does_not_order(people):
    """Couriers see what is assigned to them and nothing else: a delivery of their own would be out of their sight."""
    problem(people.courier().post("/api/deliveries", json=delivery_in()), 403, "forbidden")
