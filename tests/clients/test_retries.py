"""What the Python client repeats, when, and that a repeat has one effect."""

import time

import delivery_client
import pytest

from tests.clients.conftest import GRACE
from tests.servers.system import free_port
from tests.web.racing import race


def keys_of(asked):
    return [headers.get("idempotency-key") for _, headers in asked]


@pytest.mark.parametrize("fault", ["lose_answer", "halve_answer"])
def test_a_lost_answer_makes_no_second_delivery(client, front, fault):
    getattr(front, fault)(times=2)
    made = client.deliveries.create(**GRACE)
    assert [one["id"] for one in client.deliveries.list()] == [made["id"]]
    assert len(front.of("POST")) == 3
    assert len(set(keys_of(front.of("POST")))) == 1
    assert keys_of(front.of("POST"))[0]


def test_an_answer_that_does_not_come_in_time_makes_no_second_delivery(connect, shop, front):
    front.hang()
    client = connect(api_key=shop.key, timeout_seconds=1)
    made = client.deliveries.create(**GRACE)
    assert [one["id"] for one in client.deliveries.list()] == [made["id"]]


def test_a_lost_answer_makes_no_second_move_or_edit(client, front):
    made = client.deliveries.create(**GRACE)
    front.lose_answer(method="PATCH")
    edited = client.deliveries.edit(made, item_name="Red bicycle")
    front.lose_answer()
    moved = client.deliveries.move(made["id"], "cancelled")
    assert (edited["version"], moved["version"]) == (made["version"] + 1, made["version"] + 2)
    assert len(list(client.deliveries.events(made["id"]))) == 3


def test_a_deletion_whose_answer_was_lost_is_done(client, front):
    made = client.deliveries.create(**GRACE)
    front.lose_answer(method="DELETE")
    client.deliveries.delete(made)
    with pytest.raises(delivery_client.NotFound):  # that nothing was lost of
        client.deliveries.delete(made)


def test_each_call_has_a_key_of_its_own(client, front):
    assert client.deliveries.create(**GRACE)["id"] != client.deliveries.create(**GRACE)["id"]
    assert len(set(keys_of(front.of("POST")))) == 2


def test_a_key_of_the_callers_own_holds_from_one_process_to_the_next(connect, shop):
    one, other = connect(api_key=shop.key), connect(api_key=shop.key)
    made = [client.deliveries.create(**GRACE, idempotency_key="order-1001") for client in (one, other)]
    assert made[0] == made[1]
    with pytest.raises(delivery_client.Invalid) as reused:
        one.deliveries.create(**GRACE, tags=["other"], idempotency_key="order-1001")
    assert reused.value.code == "key_reused"


def test_twins_at_the_same_moment_have_one_effect(connect, shop):
    clients = [connect(api_key=shop.key) for _ in range(4)]
    made = race(*[lambda one=one: one.deliveries.create(**GRACE, idempotency_key="order-1") for one in clients])
    assert len({one["id"] for one in made}) == 1
    assert len(list(clients[0].deliveries.list())) == 1


@pytest.mark.parametrize("status", [502, 503, 504])
def test_it_comes_back_when_the_api_could_not(client, front, status):
    front.answer(status, times=2)
    assert client.deliveries.create(**GRACE)["status"] == "pending"
    assert len(front.of("POST")) == 3


@pytest.mark.parametrize(("status", "code"), [(429, "too_many_requests"), (503, "unavailable")])
def test_it_waits_for_as_long_as_it_is_asked_to(client, front, status, code):
    problem = f'{{"code": "{code}"}}'.encode()
    front.answer(status, headers={"Retry-After": "1"}, body=problem)
    began = time.monotonic()
    client.deliveries.create(**GRACE)
    assert time.monotonic() - began >= 1


def test_a_longer_wait_than_allowed_is_the_callers(client, front):
    front.answer(429, headers={"Retry-After": "900"}, body=b'{"code": "too_many_requests"}')
    began = time.monotonic()
    with pytest.raises(delivery_client.TooManyRequests) as much:
        client.deliveries.create(**GRACE)
    assert time.monotonic() - began < 5
    assert (much.value.code, much.value.retry_after_seconds) == ("too_many_requests", 900)
    assert len(front.of("POST")) == 1


def test_what_the_api_really_answers_when_there_are_too_many_is_waited_for(make_app, people):
    """The real 429 has a Retry-After, in seconds."""
    app = make_app(API_REQUESTS_PER_MINUTE="1")
    owner = people.customer()
    answers = [app.test_client().get("/api/deliveries", headers=owner.headers) for _ in range(2)]
    assert answers[1].status_code == 429
    assert answers[1].headers["Retry-After"].isdecimal()


def test_what_is_wrong_is_not_repeated(client, front):
    with pytest.raises(delivery_client.Invalid):
        client.deliveries.create(**GRACE | {"item_name": ""})
    assert len(front.of("POST")) == 1


def test_it_gives_up_in_the_end_and_says_so(connect, shop, front):
    client = connect(api_key=shop.key, retries=2)
    front.answer(503, times=None)
    with pytest.raises(delivery_client.Unavailable) as down:
        client.deliveries.create(**GRACE)
    assert (down.value.status, down.value.code) == (503, "unknown")
    assert len(front.of("POST")) == 3


def test_who_got_no_answer_can_ask_again_with_the_same_key(connect, shop, front):
    client = connect(api_key=shop.key, retries=1)
    front.lose_answer(times=2)
    with pytest.raises(delivery_client.Unreachable) as lost:
        client.deliveries.create(**GRACE)
    made = client.deliveries.create(**GRACE, idempotency_key=lost.value.idempotency_key)
    assert [one["id"] for one in client.deliveries.list()] == [made["id"]]


def test_nobody_there_is_one_clear_error(connect):
    client = connect(url=f"http://127.0.0.1:{free_port()}", api_key="dms_live_x", retries=1)
    with pytest.raises(delivery_client.Unreachable):
        client.deliveries.get("x")


def test_a_strangers_page_is_no_answer(client, front):
    front.answer(200, method="GET", body=b"<h1>Sign in to the hotel's network</h1>")
    with pytest.raises(delivery_client.ApiError) as strange:
        client.deliveries.get("x")
    assert strange.value.code == "not_json"


def test_a_redirect_is_not_followed(client, front):
    front.answer(302, method="GET", headers={"Location": "http://127.0.0.1:9/"})
    with pytest.raises(delivery_client.ApiError) as moved:
        client.deliveries.get("x")
    assert moved.value.status == 302
    assert len(front.asked) == 1
