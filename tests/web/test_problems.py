"""Every error of every layer is a problem object; what the error itself said in its headers survives."""

import pytest
from sqlalchemy.exc import DataError, IntegrityError, InterfaceError, OperationalError, ProgrammingError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from werkzeug.exceptions import Gone, RequestHeaderFieldsTooLarge, ServiceUnavailable, TooManyRequests

from delivery.deliveries import listing
from tests.factories import delivery_in
from tests.web.answers import problem, wrong

SECRET = "duplicate key value violates unique constraint uq_users_email DETAIL Key (email)=(ada@shop.example)"


def test_an_unknown_path_is_a_problem(client):
    for path in ("/", "/api", "/api/nothing", "/nothing?x=1", "/api/deliveries/1"):
        problem(client.get(path), 404, "not_found")


def test_a_wrong_method_names_the_right_ones(client):
    for path, methods in {
        "/api/auth/login": {"POST", "OPTIONS"},
        "/api/deliveries": {"GET", "HEAD", "POST", "OPTIONS"},
        "/api/users": {"GET", "HEAD", "POST", "OPTIONS"},
    }.items():
        response = client.put(path)

        problem(response, 405, "method_not_allowed")
        assert {one.strip() for one in response.headers["Allow"].split(",")} == methods


def test_a_refused_caller_is_challenged(client):
    response = client.get("/api/auth/me")

    problem(response, 401, "unauthorized")
    assert response.headers["WWW-Authenticate"] == "Bearer"


def test_all_wrong_fields_are_named_at_once_by_json_pointers(api):
    body = delivery_in(
        item_name="",
        colour="red",
        recipient={"email": "nobody", "phone": "12", "locale": "English"},
        destination={"line1": "1 Road", "city": "X", "country": "England", "lat": 91},
        window={"earliest": "2026-05-02T10:00:00Z", "latest": "2026-05-01T10:00:00Z"},
        tags=["fine", ""],
    )

    assert wrong(api.post("/api/deliveries", json=body)) == {
        "/item_name": "invalid",
        "/colour": "unknown",
        "/recipient/name": "required",
        "/recipient/email": "invalid",
        "/recipient/phone": "invalid",
        "/recipient/locale": "invalid",
        "/destination/country": "invalid",
        "/destination/lat": "invalid",
        "/window/latest": "invalid",
        "/tags/1": "invalid",
    }


def test_a_pointer_is_escaped_and_a_hostile_name_is_cut(api):
    errors = wrong(api.post("/api/deliveries", json={"a/b~c": 1, "x" * 5000: 1}))

    assert errors["/a~1b~0c"] == "unknown"
    assert max(map(len, errors)) <= 101


BREAKAGES = [
    (OperationalError(SECRET, {}, Exception(SECRET)), 503),
    (InterfaceError(SECRET, {}, Exception(SECRET)), 503),
    (PoolTimeout(SECRET), 503),
    (IntegrityError(SECRET, {}, Exception(SECRET)), 409),
    (DataError(SECRET, {}, Exception(SECRET)), 422),
    (ProgrammingError(SECRET, {}, Exception(SECRET)), 500),
    (RuntimeError(SECRET), 500),
    (RecursionError(SECRET), 500),
]


@pytest.fixture
def breaking(api, monkeypatch):
    """Ask for the list while something inside raises an error; returns the answer."""

    def ask(error):
        def fail(*_args, **_options):
            raise error

        monkeypatch.setattr(listing, "deliveries", fail)
        return api.get("/api/deliveries")

    return ask


def test_what_breaks_inside_stays_inside(breaking):
    for error, status in BREAKAGES:
        response = breaking(error)
        problem(response, status)
        assert "duplicate" not in response.text
        assert "ada@" not in response.text
        assert ("Retry-After" in response.headers) == (status == 503)


def test_headers_of_a_frameworks_own_error_survive(breaking):
    for error in (TooManyRequests(retry_after=7), ServiceUnavailable(retry_after=7)):
        response = breaking(error)
        problem(response, error.code)
        assert response.headers["Retry-After"] == "7"
    for error in (RequestHeaderFieldsTooLarge(SECRET), Gone(SECRET)):
        problem(breaking(error), error.code)


def test_a_database_that_does_not_answer_is_a_503(make_app, people, database_url, tmp_path):
    """A caller is told to come back, not what is broken and where."""
    gone = (
        "postgresql+psycopg://nobody@127.0.0.1:1/none" if "postgres" in database_url else f"sqlite:///{tmp_path}/no/x"
    )
    token = people.customer().headers
    response = make_app(DATABASE_URL=gone).test_client().get("/api/auth/me", headers=token)

    problem(response, 503, "unavailable")
    assert response.headers["Retry-After"] == "1"
