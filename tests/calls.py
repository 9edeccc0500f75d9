"""One representative call of each endpoint, for whatever tries all of them; a new endpoint needs a row here.

`{delivery}`, `{user}`, ... in a path or body stand for what THINGS makes, when somebody is about to make the call.
"""

import io
import itertools
from dataclasses import dataclass, field, replace
from datetime import timedelta
from ipaddress import ip_address
from uuid import UUID, uuid4

from sqlalchemy import update
from twilio.request_validator import RequestValidator

from delivery import clock
from delivery.auth import sessions
from delivery.database import new_id, now, transaction
from delivery.notifications.models import OutboxMessage
from delivery.notifications.opt_outs import address_hash, opt_out
from delivery.notifications.unsubscribing import link
from delivery.tokens import Purpose
from tests.auth.invitations import invited
from tests.auth.keys import made
from tests.auth.links import link_token, register
from tests.factories import PASSWORD, Api, delivery_in
from tests.imports.making import asked, one_delivery, template
from tests.webhooks.making import endpoint, webhook

NOBODYS = "0190a0a0-0000-7000-8000-000000000000"
SEEN = {"If-Match": "*"}
CUSTOMER, COURIER, DISPATCHER, ADMIN = "customer", "courier", "dispatcher", "admin"
OWN, ASSIGNED, ELSES, NOBODY = "own", "assigned", "somebody else's", "nobody's"
TWILIO_TOKEN = "a-test-token-of-32-characters-xx"
_numbers = itertools.count(1)
_addresses = map(ip_address, itertools.count(int(ip_address("10.0.0.1"))))


@dataclass(frozen=True, kw_only=True)
class Call:
    """A call that succeeds when `by` makes it (None: whoever is not signed in) about a thing that is `of` theirs."""

    method: str
    path: str
    by: str | None = CUSTOMER
    of: str = OWN
    json: dict | None = None
    headers: dict = field(default_factory=dict)

    def about(self, things):
        """The same call, with things in the place of their names."""
        return replace(self, path=filled(self.path, things), json=filled(self.json, things))

    def send(self, api):
        """Make the call with somebody's credentials, from an address that no limit has counted before."""
        body = {} if self.json is None else {"json": self.json}
        address = {"REMOTE_ADDR": str(next(_addresses))}
        return api.request(self.method, self.path, headers=self.headers, environ_base=address, buffered=True, **body)


@dataclass(frozen=True, kw_only=True)
class SignedCall(Call):
    """A call by Twilio: a form, signed with the token that the app has."""

    form: dict

    def about(self, things):
        things.app.config.update(SMS_PROVIDER="twilio", SMS_API_SECRET=TWILIO_TOKEN)
        form = {**filled(self.form, things), "MessageSid": f"SM{next(_numbers)}"}
        call = replace(super().about(things), form=form)
        address = things.app.config["PUBLIC_BASE_URL"] + call.path
        signature = RequestValidator(TWILIO_TOKEN).compute_signature(address, form)
        return replace(call, headers={"X-Twilio-Signature": signature})

    def send(self, api):
        address = {"REMOTE_ADDR": str(next(_addresses))}
        return api.post(self.path, data=self.form, headers=self.headers, environ_base=address, buffered=True)


@dataclass(frozen=True, kw_only=True)
class FileCall(Call):
    """A call that uploads a file of one delivery."""

    def send(self, api):
        address, form = {"REMOTE_ADDR": str(next(_addresses))}, {"file": (io.BytesIO(one_delivery()), "orders.csv")}
        return api.request(self.method, self.path, data=form, environ_base=address, buffered=True)


def signed(path, form):
    return SignedCall(method="POST", path=path, form=form, by=None)


def get(path, **more):
    return Call(method="GET", path=path, **more)


def post(path, json=None, **more):
    return Call(method="POST", path=path, json=json, **more)


def put(path, json, **more):
    return Call(method="PUT", path=path, json=json, **more)


def patch(path, json, **more):
    return Call(method="PATCH", path=path, json=json, headers=SEEN, **more)


def delete(path, **more):
    return Call(method="DELETE", path=path, headers=SEEN, **more)


_TEMPLATE = {"name": "Orders", "mapping": {"reference": "order"}}
_STOP = {"From": "{new_number}", "Body": "STOP"}
_KEY = {"name": "Shop", "scopes": ["deliveries:read"]}
_ACCEPT = {"token": "{invitation_token}", "name": "Kim", "password": "long enough words"}
_USER = {"name": "N", "email": "{free_address}", "password": "long enough words"}

CALLS = {
    "health.healthz": get("/healthz", by=None),
    "health.readyz": get("/readyz", by=None),
    "twilio.status": signed("/api/callbacks/twilio/status/{text_message}", {"MessageStatus": "delivered"}),
    "twilio.inbound": signed("/api/callbacks/twilio/inbound", _STOP),
    "auth.login": post("/api/auth/login", {"email": "{address}", "password": PASSWORD}, by=None),
    "auth.refresh": post("/api/auth/refresh", {"refresh_token": "{refresh_token}"}, by=None),
    "auth.logout": post("/api/auth/logout"),
    "auth.logout_all": post("/api/auth/logout-all"),
    "sessions.index": get("/api/auth/sessions"),
    "sessions.end": delete("/api/auth/sessions/{session}"),
    "sessions.of_user": get("/api/users/{user}/sessions"),
    "sessions.end_of_user": delete("/api/users/{user}/sessions"),
    "auth.me": get("/api/auth/me"),
    "auth.request_verification": post("/api/auth/request-verification", {"email": "{unverified_address}"}, by=None),
    "auth.verify_email_page": get("/api/auth/verify-email?token=x", by=None),
    "auth.verify_email": post("/api/auth/verify-email", {"token": "{verify_token}"}, by=None),
    "auth.request_password_reset": post("/api/auth/request-password-reset", {"email": "{address}"}, by=None),
    "auth.reset_password_page": get("/api/auth/reset-password?token=x", by=None),
    "auth.reset_password": post(
        "/api/auth/reset-password", {"token": "{reset_token}", "password": "another fine phrase"}, by=None
    ),
    "auth.change_password": post(
        "/api/auth/change-password", {"current_password": PASSWORD, "new_password": "another fine phrase"}
    ),
    "auth.change_email": post("/api/auth/change-email", {"email": "{free_address}", "password": PASSWORD}),
    "auth.confirm_email_page": get("/api/auth/confirm-email?token=x", by=None),
    "auth.confirm_email": post("/api/auth/confirm-email", {"token": "{change_token}"}, by=None),
    "api-keys.index": get("/api/auth/api-keys"),
    "api-keys.create": post("/api/auth/api-keys", _KEY),
    "api-keys.show": get("/api/auth/api-keys/{key}"),
    "api-keys.revoke": delete("/api/auth/api-keys/{key}"),
    "api-keys.roll": post("/api/auth/api-keys/{key}/roll", {}),
    "api-keys.of_user": get("/api/users/{user}/api-keys"),
    "api-keys.revoke_all": delete("/api/users/{user_with_key}/api-keys"),
    "auth.accept_invitation_page": get("/api/auth/accept-invitation?token=x", by=None),
    "auth.accept_invitation": post("/api/auth/accept-invitation", _ACCEPT, by=None),
    "invitations.invite": post("/api/invitations", {"email": "{free_address}", "role": "customer"}, by=ADMIN),
    "invitations.index": get("/api/invitations", by=ADMIN),
    "invitations.show": get("/api/invitations/{invitation}", by=ADMIN),
    "invitations.revoke": delete("/api/invitations/{invitation}", by=ADMIN),
    "users.register": post("/api/users", _USER, by=None),
    "users.index": get("/api/users", by=ADMIN),
    "users.show": get("/api/users/{user}"),
    "users.change": patch("/api/users/{user}", {"name": "New"}),
    "users.delete": delete("/api/users/{user}", by=ADMIN, of=ELSES),
    "privacy.export": get("/api/users/{user}/export"),
    "privacy.erase": post("/api/users/{user}/erase", by=ADMIN, of=ELSES),
    "privacy.erase_recipient": post("/api/privacy/erasures", {"email": "{recipient}"}, by=ADMIN),
    "privacy.index": get("/api/privacy/erasures", by=ADMIN),
    "audit.index": get("/api/audit", by=ADMIN),
    "deliveries.create": post("/api/deliveries", delivery_in()),
    "bulk.create": post("/api/deliveries/bulk", {"items": [delivery_in(), delivery_in(tags=["a"])]}),
    "bulk.move": post("/api/deliveries/transitions", {"items": [{"id": "{delivery}"}], "to": "{next_state}"}),
    "labels.show": get("/api/deliveries/{delivery}/label"),
    "labels.sheet": post("/api/deliveries/labels", {"ids": ["{delivery}"]}),
    "deliveries.index": get("/api/deliveries"),
    "deliveries.export": get("/api/deliveries/export.csv"),
    "deliveries.of_user": get("/api/users/{user}/deliveries"),
    "deliveries.show": get("/api/deliveries/{delivery}"),
    "deliveries.edit": patch("/api/deliveries/{delivery}", {"item_name": "Red"}),
    "deliveries.delete": delete("/api/deliveries/{delivery}"),
    "deliveries.move": post("/api/deliveries/{delivery}/transitions", {"to": "{next_state}"}),
    "deliveries.timeline": get("/api/deliveries/{delivery}/events"),
    "deliveries.notifications": get("/api/deliveries/{delivery}/notifications"),
    "notifications.index": get("/api/notifications"),
    "notifications.show": get("/api/notifications/{message}"),
    "notifications.resend": post("/api/notifications/{message}/resend"),
    "metrics.metrics": get("/metrics", by=None, headers={"Authorization": "Bearer metrics-for-tests-0c1d"}),
    "preferences.show_preferences": get("/api/users/{user}/notification-preferences"),
    "preferences.replace_preferences": put("/api/users/{user}/notification-preferences", {"locale": "de"}),
    "unsubscribe.show": get("/unsubscribe/{unsubscribe_token}", by=None),
    "unsubscribe.leave": post("/unsubscribe/{unsubscribe_token}", {"List-Unsubscribe": "One-Click"}, by=None),
    "unsubscribe.come_back": post("/unsubscribe/{left_token}/undo", by=None),
    "unsubscribe.show_preferences": get("/unsubscribe/{unsubscribe_token}/preferences", by=None),
    "unsubscribe.save_preferences": post(
        "/unsubscribe/{unsubscribe_token}/preferences", {"events": {"lost": {"mail": False}}}, by=None
    ),
    "events.index": get("/api/events"),
    "imports.create": FileCall(method="POST", path="/api/imports"),
    "imports.index": get("/api/imports"),
    "imports.show": get("/api/imports/{import}"),
    "imports.errors": get("/api/imports/{import}/errors.csv"),
    "imports.cancel": post("/api/imports/{import}/cancel"),
    "import-templates.index": get("/api/import-templates"),
    "import-templates.create": post("/api/import-templates", _TEMPLATE),
    "import-templates.show": get("/api/import-templates/{template}"),
    "import-templates.change": patch("/api/import-templates/{template}", {"date_format": "dmy"}),
    "import-templates.delete": delete("/api/import-templates/{template}"),
    "webhook-endpoints.index": get("/api/webhook-endpoints"),
    "webhook-endpoints.create": post("/api/webhook-endpoints", {"url": "https://hooks.example/in"}),
    "webhook-endpoints.show": get("/api/webhook-endpoints/{endpoint}"),
    "webhook-endpoints.change": patch("/api/webhook-endpoints/{endpoint}", {"description": "New"}),
    "webhook-endpoints.delete": delete("/api/webhook-endpoints/{endpoint}"),
    "webhook-endpoints.rotate_secret": post("/api/webhook-endpoints/{endpoint}/rotate-secret"),
    "webhook-endpoints.verify": post("/api/webhook-endpoints/{endpoint}/verify"),
    "webhook-endpoints.enable": post("/api/webhook-endpoints/{disabled_endpoint}/enable"),
    "webhook-endpoints.send_test": post("/api/webhook-endpoints/{active_endpoint}/test"),
    "webhook-endpoints.replay_range": post("/api/webhook-endpoints/{active_endpoint}/replay", {"since": "{lately}"}),
    "webhook-deliveries.index": get("/api/webhook-deliveries"),
    "webhook-deliveries.show": get("/api/webhook-deliveries/{webhook}"),
    "webhook-deliveries.send_again": post("/api/webhook-deliveries/{webhook}/redeliver"),
}  # fmt: skip


def nobody(app):
    """The API as it is for whoever is not signed in."""
    api = Api(app, user_id=None, token="")
    api.headers = {}
    return api


def kind_of(call):
    """The kind of thing that a call is about; None when it names none."""
    named = [name for name in OBJECTS if f"{{{name}}}" in call.path]
    return named[0] if named else None


class Things:
    """What the placeholders of a call stand for, made when they are asked for.

    Args:
        by: who calls, an Api with an account behind it.
        of: whose thing it is to be: OWN, ASSIGNED, ELSES or NOBODY.
    """

    def __init__(self, people, *, by, of=OWN):
        self.people, self.by, self.of = people, by, of
        self.app = people.app

    def __getitem__(self, name):
        if self.of == NOBODY and name in OBJECTS:
            return NOBODYS
        return (OBJECTS | WORDS)[name](self)

    def owner(self):
        return self.by if self.of == OWN else self.people.customer()


def _delivery(things):
    if things.of == ASSIGNED:
        delivery = things.people.customer().create()
        assigned = things.people.dispatcher().move(delivery, "assigned", courier_id=things.by.user_id)
        assert assigned.status_code == 200, assigned.text
    else:
        delivery = things.people.dispatcher().create(owner_id=things.owner().user_id)
    return delivery["id"]


def _message(things):
    """The mail that tells an owner of a delivery, and that did not arrive."""
    delivery_id = UUID(_delivery(things))
    chosen = (OutboxMessage.delivery_id == delivery_id, OutboxMessage.audience == "sender")
    dead = update(OutboxMessage).where(*chosen).values(state="dead", settled_at=OutboxMessage.created_at)
    with things.app.app_context(), transaction() as session:
        return str(session.execute(dead.returning(OutboxMessage.id)).scalars().one())


def _user_with_key(things):
    owner = things.owner()
    made(owner)
    return owner.user_id


def _address(things):
    address = f"member{next(_numbers)}@x.example"
    things.people.customer(email=address)
    return address


def _unverified_address(things):
    address = f"new{next(_numbers)}@x.example"
    client = things.app.test_client()
    client.environ_base["REMOTE_ADDR"] = str(next(_addresses))
    register(client, address)
    return address


def _recipient(things):
    return things.people.customer().create()["recipient"]["email"]


def _text_message(things):
    """One that Twilio has."""
    identity, values = new_id(), {"channel": "sms", "audience": "recipient", "event": "created", "template": "created"}
    values |= {"lane": "x", "data": {}, "state": "sent", "attempts": 1, "next_at": now(), "provider": "twilio"}
    with things.app.app_context(), transaction() as session:
        new = OutboxMessage(id=identity, recipient_id=new_id(), created_at=now(), settled_at=now(), **values)
        session.add(new)
    return identity


def _invitation(things):
    return invited(things.people.admin(), email=f"guest{next(_numbers)}@x.example")


def _unsubscribe_token(things, *, left=False):
    """The token of a link to somebody new, who has opted out already or not."""
    with things.app.app_context():
        address = f"reader{next(_numbers)}@x.example"
        if left:
            with transaction():
                opt_out("mail", address, "test")
        return link(address_hash("mail", address), message_id=uuid4()).rpartition("/")[2]


def _session(things):
    owner = UUID(things.owner().user_id)
    with things.app.app_context(), transaction():
        return str(sessions.open_session(user_id=owner, epoch=1).session_id)


# What a path may name. Each is somebody's, so that an endpoint about it is tried with one's own and with others'.
OBJECTS = {
    "user": lambda things: things.owner().user_id,
    "user_with_key": _user_with_key,
    "session": _session,
    "key": lambda things: made(things.owner())["id"],
    "delivery": _delivery,
    "message": _message,
    "invitation": lambda things: _invitation(things)["id"],
    "endpoint": lambda things: endpoint(things.app, things.owner().user_id),
    "active_endpoint": lambda things: endpoint(things.app, things.owner().user_id, status="active"),
    "disabled_endpoint": lambda things: endpoint(
        things.app, things.owner().user_id, status="disabled", reason="by_owner"
    ),
    "import": lambda things: asked(things.app, things.owner().user_id),
    "template": lambda things: template(things.app, things.owner().user_id),
    "webhook": lambda things: webhook(things.app, things.owner().user_id),
}
# What else a call may need.
WORDS = {
    "address": _address,
    "refresh_token": lambda things: things.people.customer().refresh_token,
    "free_address": lambda _: f"free{next(_numbers)}@x.example",
    "unverified_address": _unverified_address,
    "verify_token": lambda things: link_token(things.app, _unverified_address(things)),
    "reset_token": lambda things: link_token(things.app, _address(things), Purpose.RESET_PASSWORD),
    "change_token": lambda things: link_token(things.app, _address(things), Purpose.CHANGE_EMAIL),
    "recipient": _recipient,
    "text_message": _text_message,
    "new_number": lambda _: f"+4420794{next(_numbers):05}",
    "lately": lambda _: (clock.now() - timedelta(hours=1)).isoformat(),
    "invitation_token": lambda things: _invitation(things)["token"],
    "unsubscribe_token": _unsubscribe_token,
    "left_token": lambda things: _unsubscribe_token(things, left=True),
    "next_state": lambda things: "picked_up" if things.of == ASSIGNED else "cancelled",
}


def filled(value, things):
    """Put things in the place of their names, in a text or in the texts of a body."""
    if isinstance(value, dict):
        return {name: filled(inner, things) for name, inner in value.items()}
    if isinstance(value, list):
        return [filled(inner, things) for inner in value]
    if isinstance(value, str) and "{" in value:
        before, _, rest = value.partition("{")
        name, _, after = rest.partition("}")
        return f"{before}{things[name]}{after}"
    return value
