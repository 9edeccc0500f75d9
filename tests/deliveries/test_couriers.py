"""Couriers: assigned by a move, exchanged by a move, and only somebody who is one."""

from uuid import uuid4

import pytest

from tests.auth.signing_in import signed_in_again
from tests.web.answers import problem, wrong


def test_assigning_names_an_active_courier(people):
    dispatcher, courier = people.dispatcher(), people.courier()
    delivery = dispatcher.create()
    moved = dispatcher.move(delivery, "assigned", courier_id=courier.user_id).json

    assert (moved["status"], moved["courier_id"]) == ("assigned", courier.user_id)
    assert dispatcher.history(delivery)[-1]["kind"] == "assigned"
    assert courier.get(f"/api/deliveries/{delivery['id']}").json["allowed_transitions"] == [
        "picked_up", "attempt_failed", "on_hold",
    ]  # fmt: skip


def test_nobody_else_can_be_assigned(people):
    dispatcher, admin = people.dispatcher(), people.admin()
    asleep, erased = people.courier(), people.courier()
    for who, change in ((asleep, "patch"), (erased, "delete")):
        options = {"json": {"active": False}} if change == "patch" else {}
        path = f"/api/users/{who.user_id}"
        assert getattr(admin, change)(path, headers={"If-Match": "*"}, **options).status_code < 300
    delivery = dispatcher.create()
    for courier_id in (
        None,
        str(uuid4()),
        people.customer().user_id,
        dispatcher.user_id,
        admin.user_id,
        asleep.user_id,
        erased.user_id,
    ):
        response = dispatcher.move(delivery, "assigned", courier_id=courier_id)
        assert wrong(response) == {"/courier_id": "invalid"}
    assert dispatcher.get(f"/api/deliveries/{delivery['id']}").json == delivery


def test_reassigning_takes_it_out_of_the_first_couriers_sight(people):
    dispatcher, first, second = people.dispatcher(), people.courier(), people.courier()
    delivery = dispatcher.create()
    path = f"/api/deliveries/{delivery['id']}"
    dispatcher.move(delivery, "assigned", courier_id=first.user_id)
    moved = dispatcher.move(delivery, "assigned", courier_id=second.user_id).json

    assert (moved["courier_id"], moved["version"]) == (second.user_id, 3)
    assert dispatcher.history(delivery)[-1]["from_state"] == "assigned"
    problem(first.get(path), 404)
    problem(first.move(delivery, "picked_up"), 404)
    assert second.move(delivery, "picked_up").status_code == 200


@pytest.mark.parametrize("ways", [["attempt_failed"], ["on_hold"], []])
def test_assigning_again_without_a_name_keeps_the_courier(people, ways):
    dispatcher, courier = people.dispatcher(), people.courier()
    delivery = dispatcher.create()
    dispatcher.move(delivery, "assigned", courier_id=courier.user_id)
    assert dispatcher.walk(delivery, *ways, "assigned")["courier_id"] == courier.user_id


def test_a_courier_who_is_none_any_more_is_not_assigned_again(people):
    dispatcher, courier, admin = people.dispatcher(), people.courier(), people.admin()
    delivery = dispatcher.create()
    dispatcher.move(delivery, "assigned", courier_id=courier.user_id)
    admin.patch(f"/api/users/{courier.user_id}", json={"role": "customer"}, headers={"If-Match": "*"})
    assert wrong(dispatcher.move(delivery, "assigned")) == {"/courier_id": "invalid"}


def test_going_back_to_pending_lets_the_courier_go(people):
    dispatcher, courier = people.dispatcher(), people.courier()
    delivery = dispatcher.create()
    dispatcher.move(delivery, "assigned", courier_id=courier.user_id)
    assert dispatcher.walk(delivery, "pending")["courier_id"] is None
    problem(courier.get(f"/api/deliveries/{delivery['id']}"), 404)


def test_a_courier_goes_only_with_a_move_to_assigned(people):
    dispatcher, courier = people.dispatcher(), people.courier()
    delivery = dispatcher.create()
    assert wrong(dispatcher.move(delivery, "on_hold", courier_id=courier.user_id)) == {"/courier_id": "invalid"}


def test_a_customer_who_is_no_courier_is_none_by_being_assigned(people):
    """A courier who becomes a customer loses sight of the deliveries, whoever is written on them."""
    dispatcher, courier, admin = people.dispatcher(), people.courier(), people.admin()
    delivery = dispatcher.create()
    dispatcher.move(delivery, "assigned", courier_id=courier.user_id)
    admin.patch(f"/api/users/{courier.user_id}", json={"role": "customer"}, headers={"If-Match": "*"})
    now_customer = signed_in_again(courier)
    problem(now_customer.get(f"/api/deliveries/{delivery['id']}"), 404)
    assert now_customer.get("/api/deliveries").json["items"] == []
