"""The people of a lab, and their tokens."""

import http.client
import json
import random
from contextlib import closing

from delivery.database import transaction
from delivery.users import passwords, services
from tests.faults.outside import GONE_PATH
from tests.faults.traffic import People
from tests.servers.waiting import wait_until

PASSWORD = "correct horse battery staple"
CUSTOMERS = 4


def seed():
    """Add customers, a courier and a dispatcher; return the courier's id. In an app's context."""
    password_hash = passwords.hash_password(PASSWORD)
    with transaction():
        made = {email: _add(email, role, password_hash) for email, role in _everybody()}
    return str(made["courier@faults.example"])


def _everybody():
    yield from ((f"customer{number}@faults.example", "customer") for number in range(CUSTOMERS))
    yield "courier@faults.example", "courier"
    yield "dispatcher@faults.example", "dispatcher"


def _add(email, role, password_hash):
    return services.create(name=email.partition("@")[0], email=email, role=role, password_hash=password_hash).id


def forgetful(label, count):
    """Add people who will forget their passwords; return their addresses. In an app's context."""
    emails = [f"forgetful-{label}-{number}@faults.example" for number in range(count)]
    with transaction():
        for email in emails:
            _add(email, "customer", passwords.hash_password(PASSWORD))
    return emails


def sign_in(port, courier_id):
    """Sign everybody in; each from an address of their own."""
    tokens = {email: _token(port, email) for email, role in _everybody() if role != "courier"}
    dispatcher = tokens.pop("dispatcher@faults.example")
    return People(
        emails=list(tokens), customers=list(tokens.values()), dispatcher=dispatcher, courier_id=courier_id, forgetful=[]
    )


def open_endpoints(port, people, url):
    """Give each customer an endpoint, and the first one that may go away; wait until all have answered their challenge.

    Returns {the endpoint's id: (the owner's address, whether it may go away)}.
    """
    made = {}
    for number, (email, token) in enumerate(zip(people.emails, people.customers, strict=True)):
        for path in (f"/hook-{number}", *([GONE_PATH] if number == 0 else [])):
            shown = ask(port, token, "POST", "/api/webhook-endpoints", {"url": f"{url}{path}"})
            made[shown["id"]] = (email, path == GONE_PATH)

    def all_active():
        listed = [
            one for token in people.customers for one in ask(port, token, "GET", "/api/webhook-endpoints")["items"]
        ]
        return all(one["status"] == "active" for one in listed)

    wait_until(all_active, what="the endpoints' challenges", seconds=60)
    return made


def ask(port, token, method, path, body=None):
    """One request while all is well; returns what the answer says."""
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=20)) as connection:
        headers = {"Host": "localhost", "Content-Type": "application/json", "Authorization": f"Bearer {token}"}
        connection.request(method, path, body=None if body is None else json.dumps(body), headers=headers)
        answer = connection.getresponse()
        said = json.loads(answer.read())
        if not 200 <= answer.status < 300:
            raise RuntimeError(f"{method} {path}: {answer.status} {said}")
        return said


def _token(port, email):
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=20)) as connection:
        headers = {"Host": "localhost", "Content-Type": "application/json",
                   "X-Forwarded-For": f"10.9.{random.randrange(250)}.{random.randrange(250)}"}  # fmt: skip
        body = json.dumps({"email": email, "password": PASSWORD})
        connection.request("POST", "/api/auth/login", body=body, headers=headers)
        answer = connection.getresponse()
        said = json.loads(answer.read())
        if answer.status != 200:
            raise RuntimeError(f"{email} cannot sign in: {said}")
        return said["access_token"]
