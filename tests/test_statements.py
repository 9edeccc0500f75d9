"""How many statements each endpoint may cost; a new endpoint without a row here fails."""

import pytest

from tests.calls import CALLS, Things, nobody
from tests.factories import delivery_in

# endpoint: statements at the most, and the status of the call that is counted. The session check is one of them.
BUDGETS = {
    # Counting the attempt is 5, two sessions' rows 2, forgiving 2, the audit log 3.
    "auth.login": (13, 200),
    # Counting is 4; the token, its session and its successor 3.
    "auth.refresh": (8, 200),
    "auth.logout": (5, 204),
    "auth.logout_all": (7, 204),
    "sessions.index": (2, 200),
    "sessions.end": (6, 204),
    "sessions.of_user": (3, 200),
    "sessions.end_of_user": (8, 204),
    "auth.me": (2, 200),
    # A limit costs five: a lock for the subject and one for the address, a look, a row, and for passwords the streak.
    "auth.request_verification": (6, 202),
    "auth.verify_email_page": (0, 200),
    "api-keys.index": (2, 200),
    "api-keys.create": (8, 201),
    "api-keys.show": (2, 200),
    "api-keys.revoke": (6, 204),
    "api-keys.roll": (10, 201),
    "api-keys.of_user": (3, 200),
    "api-keys.revoke_all": (7, 204),
    "auth.verify_email": (7, 204),
    "auth.request_password_reset": (9, 202),
    "auth.reset_password_page": (0, 200),
    "auth.reset_password": (13, 204),
    "auth.change_password": (16, 200),
    "auth.change_email": (19, 202),
    "auth.confirm_email_page": (0, 200),
    "auth.confirm_email": (10, 204),
    "auth.accept_invitation_page": (0, 200),
    "auth.accept_invitation": (12, 201),
    "invitations.invite": (9, 201),
    "invitations.index": (2, 200),
    "invitations.show": (2, 200),
    "invitations.revoke": (7, 204),
    "users.register": (10, 202),
    "users.index": (2, 200),
    "users.show": (2, 200),
    "users.change": (7, 200),
    "users.delete": (35, 204),
    "privacy.export": (24, 200),
    "privacy.erase": (35, 204),
    # Wanted, former and invited addresses are one each, and so are rows that imports refused.
    "privacy.erase_recipient": (15, 202),
    "privacy.index": (2, 200),
    "audit.index": (2, 200),
    "deliveries.of_user": (3, 200),
    # One look for endpoints that want to be told, as in every other change.
    "deliveries.create": (6, 201),
    # Tags are two more.
    "bulk.create": (8, 200),
    "bulk.move": (7, 200),
    "labels.show": (2, 200),
    "labels.sheet": (2, 200),
    "deliveries.index": (2, 200),
    "deliveries.export": (2, 200),
    "deliveries.show": (2, 200),
    "deliveries.edit": (6, 200),
    "deliveries.delete": (6, 204),
    "deliveries.move": (7, 200),
    "deliveries.timeline": (3, 200),
    "deliveries.notifications": (4, 200),
    # Of what waits: is the other side paused?
    "notifications.index": (3, 200),
    "notifications.show": (4, 200),
    # The message is locked, changed and read again; the audit log 3.
    "notifications.resend": (9, 202),
    "metrics.metrics": (7, 200),
    "preferences.show_preferences": (3, 200),
    # The audit log is 3.
    "preferences.replace_preferences": (6, 200),
    # What is set, the language of the message, whether it opted out.
    "unsubscribe.show": (3, 200),
    "unsubscribe.leave": (1, 204),
    "unsubscribe.come_back": (1, 204),
    "unsubscribe.show_preferences": (1, 200),
    "unsubscribe.save_preferences": (1, 204),
    # The message, the receipt, the new state; a message that was lost asks more.
    "twilio.status": (3, 204),
    "twilio.inbound": (1, 200),
    # The head of the feed and a page of it.
    "events.index": (3, 200),
    # The file is written in one piece and read four times: twice by two looks and an end, each a statement a piece.
    "imports.create": (12, 202),
    "imports.index": (2, 200),
    "imports.show": (2, 200),
    "imports.errors": (3, 200),
    "imports.cancel": (4, 200),
    "import-templates.index": (2, 200),
    "import-templates.create": (3, 201),
    "import-templates.show": (2, 200),
    "import-templates.change": (3, 200),
    "import-templates.delete": (3, 204),
    "webhook-endpoints.index": (2, 200),
    # The owner, their endpoints, the row, older challenges, the new one; the audit log 3.
    "webhook-endpoints.create": (9, 201),
    "webhook-endpoints.show": (2, 200),
    "webhook-endpoints.change": (6, 200),
    "webhook-endpoints.delete": (7, 204),
    "webhook-endpoints.rotate_secret": (6, 200),
    # Counting is 5.
    "webhook-endpoints.verify": (10, 200),
    "webhook-endpoints.enable": (13, 200),
    "webhook-endpoints.send_test": (8, 202),
    "webhook-endpoints.replay_range": (8, 202),
    "webhook-deliveries.index": (2, 200),
    "webhook-deliveries.show": (3, 200),
    "webhook-deliveries.send_again": (9, 202),
    "health.healthz": (0, 200),
    "health.readyz": (2, 200),
}


@pytest.mark.parametrize("endpoint", BUDGETS)
def test_an_endpoint_stays_within_its_budget(endpoint, app, people, count_statements):
    call = CALLS[endpoint]
    by = people.make(call.by) if call.by else nobody(app)
    call = call.about(Things(people, by=by, of=call.of))

    with count_statements() as statements:
        response = call.send(by)

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
