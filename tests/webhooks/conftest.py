"""An app that may send to loopback, endpoints in front of a real receiver, and a drain to run by hand."""

import base64
import hmac

import pytest

from delivery import jobs
from delivery.deliveries.numbering import number_new_events
from delivery.notifications.jobs import deliver

ENDPOINTS, LOG, FEED = "/api/webhook-endpoints", "/api/webhook-deliveries", "/api/events"


@pytest.fixture
def app(make_app):
    return make_app(WEBHOOK_ALLOW_LOOPBACK="true")


@pytest.fixture(autouse=True)
def going_on():
    """A test that asks this process to stop does not stop the next one."""
    yield
    jobs._Stop.requested = False


class Hooks:
    """Somebody's webhooks, seen from outside."""

    def __init__(self, app, api, receiver):
        self.app, self.api, self.receiver = app, api, receiver

    def make(self, *, path="/hook", api=None, **fields):
        """A new endpoint as the API answers it, its secret with it; unverified."""
        body = {"url": f"{self.receiver.url}{path}", **fields}
        response = (api or self.api).post(ENDPOINTS, json=body)
        assert response.status_code == 201, response.text
        return response.json

    def active(self, **fields):
        """A new endpoint that has answered its challenge; the receiver forgets it."""
        made = self.make(**fields)
        self.drain()
        self.receiver.requests.clear()
        api = fields.get("api") or self.api
        shown = api.get(f"{ENDPOINTS}/{made['id']}").json
        assert shown["status"] == "active"
        return {**shown, "secret": made["secret"]}

    def show(self, endpoint):
        return self.api.get(f"{ENDPOINTS}/{endpoint['id']}").json

    def post(self, endpoint, verb, **body):
        return self.api.post(f"{ENDPOINTS}/{endpoint['id']}/{verb}", **({"json": body} if body else {}))

    def log(self, **filters):
        return self.api.get(LOG, query_string=filters).json["items"]

    def drain(self):
        with self.app.app_context():
            deliver("webhook", seconds=10)

    def number(self):
        with self.app.app_context():
            return number_new_events()

    def feed(self, after=None, *, api=None, limit=100):
        query = {"limit": limit, **({"after": after} if after else {})}
        response = (api or self.api).get(FEED, query_string=query)
        assert response.status_code == 200, response.text
        return response.json


@pytest.fixture
def hooks(app, api, receiver):
    return Hooks(app, api, receiver)


def is_signed(request, secret):
    """Whether one of the signatures is by this secret (Standard Webhooks, "Signature scheme")."""
    content = f"{request.id}.{request.headers['webhook-timestamp']}.".encode() + request.body
    key = base64.b64decode(secret.removeprefix("whsec_"))
    expected = "v1," + base64.b64encode(hmac.digest(key, content, "sha256")).decode()
    return expected in request.headers["webhook-signature"].split(" ")
