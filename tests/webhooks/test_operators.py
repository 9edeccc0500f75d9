"""`flask webhooks`, erasure, and the public package that receivers verify with."""

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from delivery.database import db
from delivery.webhooks.models import WebhookEndpoint
from tests.commands import run, run_json
from tests.notifications.conftest import on_sqlite
from tests.webhooks.making import endpoint


@on_sqlite
def test_an_operator_makes_shows_and_ends_endpoints(app, people):
    people.customer(email="ada@shop.example")
    made = run_json(app, "webhooks", "create", "ada@shop.example", "https://shop.example/hooks")
    assert made["secret"].startswith("whsec_")
    assert "shown only now" in run(app, "webhooks", "rotate-secret", made["id"]).stdout
    [listed] = run_json(app, "webhooks", "list", "--owner", "ada@shop.example")
    assert (listed["id"], listed["events"]) == (made["id"], ["*"])
    assert made["id"] in run(app, "webhooks", "list").stdout
    assert "https://shop.example/hooks" in run(app, "webhooks", "show", made["id"]).stdout
    assert run(app, "webhooks", "enable", made["id"]).exit_code == 1
    assert run_json(app, "webhooks", "disable", made["id"])["disabled_reason"] == "by_operator"
    assert run(app, "webhooks", "disable", made["id"]).exit_code == 1
    assert run(app, "webhooks", "test", made["id"]).exit_code == 1
    assert run(app, "webhooks", "enable", made["id"]).stdout == "The endpoint is unverified.\n"
    assert run(app, "webhooks", "show", "0190a0a0-0000-7000-8000-000000000000").exit_code == 1
    assert run(app, "webhooks", "create", "ada@shop.example", "https://10.0.0.1/").exit_code == 2


@on_sqlite
def test_a_rehearsed_replay_sends_nothing(hooks, receiver, app):
    made = hooks.active()
    hooks.api.create()
    hooks.drain()
    receiver.requests.clear()
    asked = ("webhooks", "replay", made["id"], "--since", made["created_at"])
    assert run_json(app, *asked, "--dry-run") == {"dry_run": True, "repeated": 1, "made": 0}
    hooks.drain()
    assert receiver.requests == []
    assert run(app, *asked).stdout == "Sending 1 events again, and 0 for the first time.\n"
    hooks.drain()
    assert [request.type for request in receiver.requests] == ["delivery.created"]


def test_with_an_account_go_its_endpoints(hooks, people, receiver, app):
    customer = people.customer()
    endpoint(app, customer.user_id, status="active", url=f"{receiver.url}/erased")
    delivery = customer.create()
    assert customer.move(delivery, "cancelled").status_code == 200
    erased = people.admin().delete(f"/api/users/{customer.user_id}", headers={"If-Match": "*"})
    assert erased.status_code == 204, erased.text
    hooks.drain()
    assert receiver.requests == []
    with app.app_context():
        assert db.session.query(WebhookEndpoint).count() == 0


@on_sqlite
def test_the_public_package_verifies_what_we_sign(hooks, receiver, travel):
    made = hooks.active()
    rotated = hooks.post(made, "rotate-secret").json
    hooks.api.create()
    hooks.drain()
    [request] = receiver.requests
    for secret in (made["secret"], rotated["secret"]):
        assert Webhook(secret).verify(request.body, request.headers)["type"] == "delivery.created"
    with pytest.raises(WebhookVerificationError):
        Webhook(made["secret"]).verify(request.body + b" ", request.headers)
    # What is sent late is stamped late.
    travel(seconds=-400)
    hooks.api.create()
    hooks.drain()
    with pytest.raises(WebhookVerificationError):
        Webhook(rotated["secret"]).verify(receiver.requests[-1].body, receiver.requests[-1].headers)


@on_sqlite
def test_secrets_open_with_an_older_key_and_with_no_other(make_app, people, hooks, receiver):
    made = hooks.active()
    hooks.api.create()
    newer = make_app(WEBHOOK_ALLOW_LOOPBACK="true", WEBHOOK_ENCRYPTION_KEYS="k" * 40)
    hooks.app = newer
    hooks.drain()
    assert len(receiver.requests) == 1
    other = make_app(WEBHOOK_ALLOW_LOOPBACK="true", SECRET_KEY="another-key-of-more-than-32-bytes-000")
    hooks.api.create()
    hooks.app = other
    hooks.drain()
    assert len(receiver.requests) == 1
    newest, _ = hooks.log(event="delivery.created")
    assert (newest["state"], newest["error_class"]) == ("suppressed", "secret_unreadable")
    assert made["status"] == "active"
