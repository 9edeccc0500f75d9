"""What stands in the query of an operation that reads none is refused, and nothing is done."""

import pytest

from tests.web.answers import problem, wrong


@pytest.mark.parametrize("body", [{"to": "cancelled"}, {"to": "cancelled", "items": []}])
def test_a_rehearsal_that_stands_in_the_query_moves_nothing(api, body):
    made = api.create()
    path = f"/api/deliveries/{made['id']}/transitions"
    if "items" in body:
        path, body = "/api/deliveries/transitions", {**body, "items": [{"id": made["id"]}]}
    assert wrong(api.post(f"{path}?dry_run=true", json=body)) == {"/dry_run": "unknown"}
    assert api.get(f"/api/deliveries/{made['id']}").json["status"] == "pending"


def test_whatever_else_stands_there_is_named(api):
    """As it is in a list; names are cut and escaped."""
    for path in ("/api/auth/me", f"/api/deliveries/{api.create()['id']}", "/api/webhook-endpoints"):
        given = f"{path}?foo=1&a~b/c=2&{'x' * 500}="
        assert wrong(api.get(given)).keys() == {"/foo", "/a~0b~1c", f"/{'x' * 100}"}


def test_a_link_may_have_more_than_ours(app):
    """Mail programs and newsletters add parameters of their own."""
    client = app.test_client()
    assert client.get("/api/auth/verify-email?token=x&utm_source=mail").status_code == 200
    assert client.get("/healthz?probe=1").status_code == 200


def test_who_asks_is_looked_at_first(app):
    problem(app.test_client().get("/api/auth/me?access_token=x"), 401)


def test_what_a_form_is_answered_stays_documented(app):
    """Its own 422 may be a page."""
    document = app.test_client().get("/openapi.json").json
    answers = document["paths"]["/api/auth/verify-email"]["post"]["responses"]
    assert answers["422"]["$ref"].endswith("/UNPROCESSABLE_ENTITY_OR_PAGE")
    assert document["paths"]["/api/auth/me"]["get"]["responses"]["422"]["$ref"].endswith("/UNPROCESSABLE_ENTITY")
