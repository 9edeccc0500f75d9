"""What is asked: the requests of each kind, all customers in turn; and the proof that both servers answer the same."""

import json
import random
from datetime import datetime
from itertools import cycle, islice

from speed import load, servers
from speed.data import PASSWORD

PREPARED = 4000
KINDS = ("read one", "list 20", "create", "login")
NEW = {
    "item_name": "Blue bicycle",
    "recipient": {"name": "Grace Doorstep", "email": "grace@home.example", "phone": "+442079460000"},
    "destination": {"line1": "12 Harbour Street", "city": "Bristol", "postcode": "BS1 4ST", "country": "GB"},
}
# Written in the same words, one answer may be this much longer: PostgreSQL's JSON has spaces in places.
SAME_SIZE = 0.15
# What no two answers have in common.
UNIQUE = ("access_token", "refresh_token", "next_cursor", "id", "tracking_number", "created_at", "updated_at")


def sign_in(server, emails):
    """Return an access token for each address."""
    tokens = {}
    for email in emails:
        status, answer = servers.ask(server, "POST", "/api/auth/login", body={"email": email, "password": PASSWORD})
        if status != 200:
            raise RuntimeError(f"signing in was answered {status}: {answer}")
        tokens[email] = json.loads(answer)["access_token"]
    return tokens


def requests(kind, *, owned, tokens):
    """Return prepared requests as (method, path, token, body); each customer asks for deliveries of their own."""
    chance = random.Random(1)
    make = {
        "read one": lambda who: ("GET", f"/api/deliveries/{chance.choice(owned[who])}", tokens[who], None),
        "list 20": lambda who: ("GET", "/api/deliveries?limit=20", tokens[who], None),
        "create": lambda who: ("POST", "/api/deliveries", tokens[who], NEW),
        "login": lambda who: ("POST", "/api/auth/login", None, {"email": who, "password": PASSWORD}),
    }[kind]
    return [make(who) for who in islice(cycle(owned), PREPARED)]


def write(path, prepared):
    """Write prepared requests to a file for load.run()."""
    load.write_requests(
        path, [load.http_request(method, url, token=token, body=body) for method, url, token, body in prepared]
    )


def agree(both, prepared):
    """Refuse to measure servers that do not answer the same, in about as many bytes.

    Raises:
        RuntimeError: they do not; both answers are named.
    """
    method, path, token, body = prepared
    answers = [servers.ask(server, method, path, token=token, body=body) for server in both]
    (status, one), (other_status, other) = answers
    succeeded = status == other_status and status < 300
    if not succeeded or abs(len(one) / len(other) - 1) > SAME_SIZE or _said(method, one) != _said(method, other):
        raise RuntimeError(f"{method} {path} is not answered the same: {answers}")


def _said(method, answer):
    return _plain(json.loads(answer), created=method == "POST")


def _plain(value, *, created):
    """Return an answer without what is the answer's alone, and with times as times."""
    if isinstance(value, dict):
        return {
            name: None if name == "next_cursor" or (created and name in UNIQUE) else _plain(inner, created=created)
            for name, inner in value.items()
        }
    if isinstance(value, list):
        return [_plain(inner, created=created) for inner in value]
    try:
        return datetime.fromisoformat(value)
    except (TypeError, ValueError):
        return value
