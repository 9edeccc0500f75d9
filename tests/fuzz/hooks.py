"""What Schemathesis cannot know: who asks, which ids there are, and what our formats look like.

It runs in Schemathesis's own process (SCHEMATHESIS_HOOKS) and makes accounts and things in the server's database.
Nothing that was generated wrong on purpose is touched.
"""

import itertools
import os
import random
from datetime import timedelta
from ipaddress import ip_address
from uuid import UUID, uuid4
from zoneinfo import available_timezones

import schemathesis
from hypothesis import strategies as st
from schemathesis.generation import GenerationMode

from config import Config
from delivery import clock
from delivery.app import create_app
from tests.auth.keys import key_of, sandbox_of
from tests.calls import ADMIN, ASSIGNED, COURIER, CUSTOMER, DISPATCHER, NOBODYS, OBJECTS, OWN, Things, nobody
from tests.factories import PASSWORD, People

ROLES = (CUSTOMER, COURIER, DISPATCHER, ADMIN)
KEY, NOBODY = "api_key", "nobody"
# What takes its caller's credentials away: it gets an account of its own.
ENDS = {
    "auth_logout", "auth_logout_all", "auth_change_password", "auth_refresh", "sessions_end", "sessions_end_of_user",
    "users_delete", "users_change", "privacy_erase", "api_keys_revoke", "api_keys_revoke_all", "api_keys_roll",
}  # fmt: skip
# An account owns only so many keys and endpoints.
CALLS_OF_AN_ACCOUNT = 40
# A path's own name of a thing -> what tests/calls.py makes of it.
THINGS = {
    "delivery_id": "delivery", "user_id": "user", "session_id": "session", "key_id": "key", "message_id": "message",
    "invitation_id": "invitation", "endpoint_id": "endpoint", "webhook_id": "webhook", "import_id": "import",
    "template_id": "template",
}  # fmt: skip
ASK_THE_PASSWORD = {"auth_change_password", "auth_change_email"}
# Signed, so that none can be guessed; those that tests make of it are not of this text's kind.
SIGNED = {"cursor", "after"}

_role = os.environ["FUZZ_ROLE"]
_addresses = map(ip_address, itertools.count(int(ip_address("10.0.0.1"))))
_random = random.Random(int(os.environ.get("FUZZ_SEED", "1")))
app = create_app(Config())
people = People(app, called=f"person-{uuid4().hex[:8]}-")  # others have been here before

FORMATS = {
    "phone": st.integers(0, 999).map(lambda number: f"+442079460{number:03}"),
    "time-zone": st.sampled_from(sorted(available_timezones())),
    "email": st.uuids().map(lambda one: f"{one.hex[:12]}@people.example"),
    "password": st.uuids().map(lambda one: f"a long phrase {one.hex}"),
    "uri": st.uuids().map(lambda one: f"https://{one.hex[:8]}.example/hook"),
    "uuid": st.integers(0, 2**128 - 1).map(lambda number: str(UUID(int=number))),
}
for name, strategy in FORMATS.items():
    schemathesis.openapi.format(name, strategy)


@schemathesis.hook
def before_load_schema(_context, raw_schema):
    """Leave a string one description: of a pattern and a format, it looks for minutes for what is both by chance."""
    places = [raw_schema]
    for place in places:
        if isinstance(place, dict):
            if place.get("format") in FORMATS:
                place.pop("pattern", None)
            places += place.values()
        elif isinstance(place, list):
            places += place


class Account:
    """Somebody who calls, and the things that are theirs, made when they are asked for."""

    def __init__(self):
        role = _random.choice(ROLES) if _role in {KEY, "mixed"} else _role
        self.role = CUSTOMER if role == NOBODY else role
        self.owner = people.make(self.role)
        self.api = {KEY: key_of, NOBODY: lambda _: nobody(app)}.get(_role, lambda owner: owner)(self.owner)
        # What is for test keys alone lets in nobody else.
        self.sandbox = self.api if _role == NOBODY else sandbox_of(self.owner)
        self.calls, self._ids = 0, {}

    def id_of(self, name, *, test=False):
        thing = f"test_{THINGS[name]}" if test else THINGS[name]
        if thing not in self._ids:
            self._ids[thing] = self._made(thing)
        return self._ids[thing]

    def new(self, name):
        return self._made(THINGS[name])

    def _made(self, thing):
        carries = (
            self.role == COURIER and thing == THINGS["delivery_id"]
        )  # couriers see what they carry, and own nothing
        try:
            return str(Things(people, by=self.owner, of=ASSIGNED if carries else OWN)[thing])
        except AssertionError:  # a call has ended the account
            return NOBODYS


@schemathesis.auth(refresh_interval=None)
class Credentials:
    account = None

    def get(self, case, _context):
        ends = case.operation.definition.raw.get("operationId") in ENDS
        # What follows on another call is for whoever made that.
        spent = self.account and self.account.calls >= CALLS_OF_AN_ACCOUNT and not is_linked(case)
        if ends or self.account is None or spent:
            fresh = Account()
            if ends:
                return fresh
            Credentials.account = fresh
        self.account.calls += 1
        return self.account

    def set(self, case, account, _context):
        case.headers.update((account.sandbox if is_sandbox(case) else account.api).headers)
        case.headers["X-Forwarded-For"] = str(next(_addresses))  # no limit has counted it before
        if case.meta is None or case.meta.generation.mode == GenerationMode.POSITIVE:
            fill(case, account)


def fill(case, account):
    """Put in what only we know."""
    for name in case.path_parameters or {}:
        if name in THINGS and not is_linked(case) and _random.random() < 0.7:
            case.path_parameters[name] = account.id_of(name, test=is_sandbox(case))
    if "Idempotency-Key" in case.headers:
        case.headers["Idempotency-Key"] = uuid4().hex
    if "If-Match" in case.headers and _random.random() < 0.7:
        case.headers["If-Match"] = "*"
    for name in SIGNED & set(case.query or {}):
        del case.query[name]
    if "q" in (case.query or {}):
        case.query["q"] = "Grace"  # of so many words, and no more
    if isinstance(case.body, dict):
        fill_body(case, account)


def fill_body(case, account):
    case.body = whole(case.body)
    case.body.pop("cursor", None)
    if case.operation.path == "/api/privacy/erasures" and not (case.body.get("email") or case.body.get("phone")):
        case.body["email"] = f"{uuid4().hex}@people.example"
    if case.body.get("to_end"):
        case.body.pop("steps", None)
    if "ids" in case.body:
        case.body["ids"] = [account.new("delivery_id")]  # another call may have deleted the old one
    for one in [case.body, *case.body.get("items", ())]:
        fill_item(one, account)
    if isinstance(case.body.get("options"), dict):
        fill_item(case.body["options"], account)
    own = "current_password" if "current_password" in case.body else "password"
    if case.operation.definition.raw.get("operationId") in ASK_THE_PASSWORD and own in case.body:
        case.body[own] = PASSWORD


def whole(value):
    """Write 1.0 as 1: to JSON Schema both are whole numbers, to us (docs/bad_input.md) the latter alone."""
    if isinstance(value, dict):
        return {name: whole(part) for name, part in value.items()}
    if isinstance(value, list):
        return [whole(part) for part in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def is_sandbox(case):
    return case.operation.path.startswith("/api/sandbox/")


def fill_item(item, account):
    """Put in what hangs on what is stored, on the hour, or on another field: no schema can say any of it."""
    ago, ahead = ((clock.now() + timedelta(hours=hours)).isoformat() for hours in (-1, 1))
    for name, moment in (("expires_at", ahead), ("since", ago), ("occurred_at", ago)):
        if item.get(name):
            item[name] = moment
    if "role" in item and account.role != ADMIN:
        item["role"] = CUSTOMER
    if item.get("owner_id"):
        item["owner_id"] = account.owner.user_id
    if "courier_id" in item:
        item["courier_id"] = people.courier().user_id if item.get("to") == "assigned" else None
    if (quiet := item.get("quiet_hours")) and quiet["from"] == quiet["to"]:
        item["quiet_hours"] = {**quiet, "from": "21:00", "to": "07:00"}
    if item.get("window"):
        item["window"] = {"earliest": ago, "latest": ahead}


def is_linked(case):
    return case.meta is not None and case.meta.phase.name.value == "stateful"


assert set(THINGS.values()) <= set(OBJECTS)
