"""A request that is wrong in many ways hears of them in one order: what it may know first, its mistakes later."""

import json

from tests.factories import delivery_in
from tests.web.answers import problem

TOO_LARGE = b"{" + b" " * 1_100_000
JSON = "application/json"


def test_a_change_is_checked_in_the_promised_order(people):
    """Each step repairs only the fault that the step before was refused for."""
    owner, stranger = people.customer(), people.customer()
    delivery = owner.create()
    taken = owner.create(reference="taken")["reference"]
    path = f"/api/deliveries/{delivery['id']}"
    first = owner.patch(path, json={"item_name": "Red"}, headers={"If-Match": '"1"', "Idempotency-Key": "used"})
    assert first.status_code == 200

    def send(who=owner, *, method="PATCH", data=TOO_LARGE, content_type="text/plain", **headers):
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        return who.request(method, path, data=data, content_type=content_type, headers=headers)

    nobody = {"Authorization": ""}
    problem(send(method="PUT", **nobody), 405)
    problem(send(**nobody), 401)
    problem(send(stranger), 404)
    problem(send(), 415)
    problem(send(content_type=JSON), 413)
    problem(send(content_type=JSON, data=b"{"), 400)
    for garbage in ({"Idempotency_Key": "a b"}, {"If_Match": "1"}):
        problem(send(content_type=JSON, data=b'{"item_name": 1}', **garbage), 400)
        problem(send(content_type="text/plain", data=b"{", **garbage), 415)
    problem(send(content_type=JSON, data=b'{"item_name": 1}'), 422)
    problem(send(content_type=JSON, data=b'{"item_name": "Red"}'), 428)

    replayed = owner.patch(path, json={"item_name": "Red"}, headers={"If-Match": '"1"', "Idempotency-Key": "used"})
    assert replayed.data == first.data
    assert replayed.headers["Idempotent-Replayed"] == "true"

    duplicate = json.dumps({"reference": taken}).encode()
    problem(send(content_type=JSON, data=duplicate, If_Match='"1"', Idempotency_Key="new"), 412)
    problem(send(content_type=JSON, data=duplicate, If_Match='"2"', Idempotency_Key="new"), 409)


def test_what_may_be_seen_but_not_done_is_refused_before_the_body_is_looked_at(people):
    courier, dispatcher = people.courier(), people.dispatcher()
    delivery = dispatcher.create()
    dispatcher.move(delivery, "assigned", courier_id=courier.user_id)

    problem(courier.patch(f"/api/deliveries/{delivery['id']}", data=b"{", content_type="text/plain"), 403)
    problem(courier.delete(f"/api/deliveries/{delivery['id']}"), 403)
    problem(courier.get("/api/users?limit=0"), 403)


def test_a_move_is_checked_for_meaning_before_its_version_and_its_state(people):
    """422, then 412, then 409: what no other state of the delivery could repair comes first."""
    dispatcher = people.dispatcher()
    delivery = dispatcher.create()
    stale = {"If-Match": '"7"'}

    def move(headers=None, **body):
        path = f"/api/deliveries/{delivery['id']}/transitions"
        return dispatcher.post(path, json={"to": "delivered", **body}, headers=headers)

    problem(move(occurred_at="2999-01-01T00:00:00Z", headers=stale), 422)
    problem(move(occurred_at="2999-01-01T00:00:00Z"), 422)
    problem(move(courier_id=dispatcher.user_id, headers=stale), 422)
    problem(move(headers=stale), 412, "stale_version")
    problem(move(), 409, "illegal_move")


def test_a_route_that_is_not_there_says_so_to_everybody(client):
    problem(client.post("/api/nothing", data=TOO_LARGE, content_type="text/plain"), 404)
    problem(client.patch("/api/users", data=TOO_LARGE), 405)


def test_creating_asks_who_before_it_reads(client):
    problem(client.post("/api/deliveries", data=TOO_LARGE), 401)
    problem(client.post("/api/deliveries", json=delivery_in(nonsense=1)), 401)
