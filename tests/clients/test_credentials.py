"""The Python client signs in when it has to, renews its tokens in time, and never more often than needed."""

from datetime import timedelta

import delivery_client
import pytest

from tests.clients.conftest import GRACE
from tests.factories import PASSWORD
from tests.web.racing import race

LOGIN, REFRESH = "/api/auth/login", "/api/auth/refresh"


@pytest.fixture
def person(connect, shop):
    return connect(email=shop.email, password=shop.password)


@pytest.fixture
def expire(app, travel):
    """Call it to have the access tokens that there are expire, and none that is issued from now on."""

    def move():
        app.config["JWT_ACCESS_TOKEN_EXPIRES"] = timedelta(hours=2)
        travel(minutes=31)

    return move


def paths(front, *wanted):
    return [path for path, _ in front.of("POST") if path in wanted]


def test_it_signs_in_once_and_shares_the_session(person, front):
    race(*[lambda: list(person.deliveries.list()) for _ in range(4)])
    assert paths(front, LOGIN, REFRESH) == [LOGIN]


def test_a_token_that_has_expired_is_renewed_and_the_change_made_once(person, front, expire):
    person.deliveries.create(**GRACE)
    expire()
    person.deliveries.create(**GRACE)
    assert paths(front, LOGIN, REFRESH) == [LOGIN, REFRESH]
    assert len(list(person.deliveries.list())) == 2


def test_a_token_is_renewed_before_it_expires(person, front):
    list(person.deliveries.list())
    person.transport.credentials._renew_at = 0.0
    list(person.deliveries.list())
    assert paths(front, LOGIN, REFRESH) == [LOGIN, REFRESH]
    assert len(front.of("GET")) == 2  # neither was refused


def test_many_threads_renew_an_expired_token_once(person, front, expire):
    list(person.deliveries.list())
    expire()
    race(*[lambda: list(person.deliveries.list()) for _ in range(4)])
    assert paths(front, LOGIN, REFRESH) == [LOGIN, REFRESH]


def test_a_refresh_whose_answer_was_lost_goes_on_with_the_session(person, front, expire):
    list(person.deliveries.list())
    expire()
    front.lose_answer()
    list(person.deliveries.list())
    assert paths(front, LOGIN, REFRESH) == [LOGIN, REFRESH, REFRESH]


def test_it_signs_in_again_when_the_session_has_ended(person, front, shop):
    list(person.deliveries.list())
    assert shop.api.post("/api/auth/logout-all").status_code == 204
    list(person.deliveries.list())
    assert paths(front, LOGIN, REFRESH) == [LOGIN, REFRESH, LOGIN]


def test_a_wrong_password_is_tried_once(connect, shop, front):
    client = connect(email=shop.email, password=PASSWORD + "!")
    with pytest.raises(delivery_client.Unauthorized) as refused:
        client.deliveries.get("x")
    assert refused.value.code == "invalid_credentials"
    assert paths(front, LOGIN) == [LOGIN]


def test_a_key_that_was_revoked_is_told_at_once(client, front, shop):
    (key,) = shop.api.get("/api/auth/api-keys").json["items"]
    list(client.deliveries.list())
    assert shop.api.delete(f"/api/auth/api-keys/{key['id']}").status_code == 204
    with pytest.raises(delivery_client.Unauthorized):
        list(client.deliveries.list())
    assert len(front.of("GET")) == 2


@pytest.mark.parametrize("given", [{}, {"email": "grace@home.example"}, {"password": "x"}, {"api_key": ""}])
def test_a_client_without_credentials_is_a_mistake(given):
    with pytest.raises(ValueError, match="api_key"):
        delivery_client.Client("http://127.0.0.1:9", **given)


@pytest.mark.parametrize("end", ["", "/", "/api", "/api/"])
def test_the_address_may_be_the_sites_or_the_apis(connect, shop, front, end):
    assert list(connect(url=front.url + end, api_key=shop.key).deliveries.list()) == []
