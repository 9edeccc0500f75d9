"""How many statements each endpoint may cost; a new endpoint without a row here fails."""

import pytest

from tests.auth.links import link_token, register
from tests.factories import PASSWORD, delivery_in

# endpoint: statements at the most, and the status of the call that is counted. The session check is one of them.
BUDGETS = {
    # Counting the attempt is 5, two sessions' rows 2, forgiving 2, the audit log 3.
    "auth.login": (13, 200),
    # Counting is 4; the token, its session and its successor 3.
    "auth.refresh": (8, 200),
    "auth.logout": (5, 204),
    "auth.logout_all": (5, 204),
    "sessions.index": (2, 200),
    "sessions.end": (6, 204),
    "sessions.of_user": (3, 200),
    "sessions.end_of_user": (6, 204),
    "auth.me": (2, 200),
    "auth.request_verification": (2, 202),
    "auth.verify_email_page": (0, 200),
    "auth.verify_email": (1, 204),
    "users.register": (2, 202),
    "users.index": (2, 200),
    "users.show": (2, 200),
    "users.change": (4, 200),
    "users.delete": (8, 204),
    "audit.index": (2, 200),
    "deliveries.of_user": (3, 200),
    "deliveries.create": (5, 201),
    "deliveries.index": (2, 200),
    "deliveries.show": (2, 200),
    "deliveries.edit": (5, 200),
    "deliveries.delete": (5, 204),
    "deliveries.move": (6, 200),
    "deliveries.timeline": (3, 200),
    "health.healthz": (0, 200),
    "health.readyz": (1, 200),
}


def calls(admin, customer, leaver, delivery, token):
    """One representative call of each endpoint: (view, who, method, path, options)."""
    one = f"/api/deliveries/{delivery['id']}"
    me = f"/api/users/{customer.user_id}"
    [session_id] = [one["id"] for one in customer.get("/api/auth/sessions").json["items"]]
    seen = {"headers": {"If-Match": '"1"'}}
    return {
        "auth.login": (None, "POST", "/api/auth/login", {"json": {"email": "boss@x.example", "password": PASSWORD}}),
        "auth.refresh": (None, "POST", "/api/auth/refresh", {"json": {"refresh_token": customer.refresh_token}}),
        "auth.logout": (customer, "POST", "/api/auth/logout", {}),
        "auth.logout_all": (customer, "POST", "/api/auth/logout-all", {}),
        "sessions.index": (customer, "GET", "/api/auth/sessions", {}),
        "sessions.end": (customer, "DELETE", f"/api/auth/sessions/{session_id}", {}),
        "sessions.of_user": (admin, "GET", f"{me}/sessions", {}),
        "sessions.end_of_user": (admin, "DELETE", f"{me}/sessions", {}),
        "auth.me": (customer, "GET", "/api/auth/me", {}),
        "auth.request_verification": (
            None, "POST", "/api/auth/request-verification", {"json": {"email": "new@x.example"}},
        ),
        "auth.verify_email_page": (None, "GET", "/api/auth/verify-email?token=x", {}),
        "auth.verify_email": (None, "POST", "/api/auth/verify-email", {"json": {"token": token}}),
        "users.register": (
            None, "POST", "/api/users",
            {"json": {"name": "N", "email": "n@n.example", "password": "long enough words"}},
        ),
        "users.index": (admin, "GET", "/api/users", {}),
        "users.show": (customer, "GET", me, {}),
        "users.change": (customer, "PATCH", me, {"json": {"name": "New"}, **seen}),
        "users.delete": (admin, "DELETE", f"/api/users/{leaver.user_id}", seen),
        "audit.index": (admin, "GET", "/api/audit", {}),
        "deliveries.of_user": (customer, "GET", f"{me}/deliveries", {}),
        "deliveries.create": (customer, "POST", "/api/deliveries", {"json": delivery_in()}),
        "deliveries.index": (customer, "GET", "/api/deliveries", {}),
        "deliveries.show": (customer, "GET", one, {}),
        "deliveries.edit": (customer, "PATCH", one, {"json": {"item_name": "Red"}, **seen}),
        "deliveries.delete": (customer, "DELETE", one, seen),
        "deliveries.move": (customer, "POST", f"{one}/transitions", {"json": {"to": "cancelled"}}),
        "deliveries.timeline": (customer, "GET", f"{one}/events", {}),
        "health.healthz": (None, "GET", "/healthz", {}),
        "health.readyz": (None, "GET", "/readyz", {}),
    }  # fmt: skip


@pytest.mark.parametrize("endpoint", BUDGETS)
def test_an_endpoint_stays_within_its_budget(endpoint, app, client, people, count_statements):
    customer, admin = people.customer(), people.admin(email="boss@x.example")
    register(client, "new@x.example")
    token = link_token(app, "new@x.example")
    who, method, path, options = calls(admin, customer, people.courier(), customer.create(), token)[endpoint]
    ask = who.request if who else lambda method, path, **options: client.open(path, method=method, **options)

    with count_statements() as statements:
        response = ask(method, path, **options)

    budget, status = BUDGETS[endpoint]
    statements = [statement for statement in statements if not statement.startswith("BEGIN")]
    assert response.status_code == status, response.text
    assert len(statements) <= budget, "\n".join(statements)


def test_every_endpoint_has_a_budget(app):
    served = {rule.endpoint for rule in app.url_map.iter_rules() if not rule.endpoint.startswith(("docs.", "static"))}

    assert {endpoint for endpoint in served if not endpoint.endswith(".static")} == set(BUDGETS)


def test_a_list_costs_the_same_for_one_and_for_many(api, count_statements):
    """No N+1: not for deliveries, their tags or their owners."""
    api.create(tags=["one"])
    with count_statements() as for_one:
        api.get("/api/deliveries")
    for number in range(12):
        api.create(tags=["one", f"tag-{number}"])

    with count_statements() as for_many:
        response = api.get("/api/deliveries")

    assert len(response.json["items"]) == 13
    assert len(for_many) == len(for_one)


def test_tags_and_a_key_add_two_statements_each(api, count_statements):
    def cost(**options):
        with count_statements() as statements:
            assert api.post("/api/deliveries", **options).status_code == 201
        return len([statement for statement in statements if not statement.startswith("BEGIN")])

    plain = cost(json=delivery_in())

    assert cost(json=delivery_in(tags=["a", "b", "c"])) <= plain + 2
    assert cost(json=delivery_in(), headers={"Idempotency-Key": "k"}) <= plain + 2
