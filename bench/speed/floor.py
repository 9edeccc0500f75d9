"""The floor: the measured requests by hand in raw WSGI and psycopg; what no framework could undercut by much.

For customers only, and without what the project does beside the work: logs, request ids, CORS, problem objects, wakes.
"""

import hashlib
import hmac
import os
import secrets
import threading
from base64 import urlsafe_b64encode
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs
from uuid import UUID

import jwt
import orjson
import psycopg
from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error
from uuid_utils.compat import uuid7

from delivery.deliveries.states import Part, State, allowed
from delivery.deliveries.tracking_numbers import new_number
from speed import statements

SETTINGS = os.environ
TOKEN_MINUTES = int(SETTINGS["ACCESS_TOKEN_EXPIRE_MINUTES"])
HASHER = PasswordHasher(memory_cost=19456, time_cost=2, parallelism=1)
MAY = {
    (state, picked_up): orjson.dumps(allowed(state, frozenset({Part.OWNER}), picked_up=picked_up))
    for state in State
    for picked_up in (False, True)
}
PENDING = orjson.loads(MAY[State.PENDING, False])
REQUIREMENTS = {"photo": False, "signature": False, "pin": False}
_own = threading.local()


class Refused(Exception):
    def __init__(self, status):
        self.status = status


def database():
    """Return this thread's connection."""
    if not hasattr(_own, "connection"):
        _own.connection = psycopg.connect(SETTINGS["FLOOR_DATABASE"], autocommit=True, options="-c timezone=UTC")
    return _own.connection


def app(environ, start_response):
    """Answer one request."""
    try:
        status, body, headers = route(environ)
    except (Refused, jwt.PyJWTError) as error:
        status, body, headers = getattr(error, "status", "401 Unauthorized"), b"{}", []
    start_response(status, [("Content-Type", "application/json"), ("Content-Length", str(len(body))), *headers])
    return [body]


def route(environ):
    method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"]
    if path == "/api/deliveries":
        return create(environ) if method == "POST" else index(environ)
    if path.startswith("/api/deliveries/"):
        return show(environ, path[16:])
    if path == "/api/auth/login":
        return login(environ)
    raise Refused("404 Not Found")


def signed_in(environ):
    """Return the claims of a token that is signed by us and not expired; the session is checked with the work."""
    scheme, _, token = environ.get("HTTP_AUTHORIZATION", "").partition(" ")
    if scheme != "Bearer":
        raise Refused("401 Unauthorized")
    return jwt.decode(
        token, SETTINGS["JWT_SECRET_KEY"], algorithms=["HS256"], audience="delivery", issuer="delivery", leeway=10
    )


def show(environ, delivery_id):
    claims = signed_in(environ)
    row = database().execute(statements.SHOW, {**claims, "id": delivery_id}).fetchone()
    if row is None:
        raise Refused("401 Unauthorized")
    version, status, picked_up, body = row
    if body is None:
        raise Refused("404 Not Found")
    return "200 OK", with_moves(body, status, picked_up), private(("ETag", f'"{version}"'))


def with_moves(body, status, picked_up):
    return b'{"allowed_transitions":' + MAY[status, picked_up] + b"," + body.encode()[1:]


def index(environ):
    claims = signed_in(environ)
    limit = int(parse_qs(environ["QUERY_STRING"]).get("limit", ["20"])[0])
    rows = database().execute(statements.INDEX.format(limit + 1), claims).fetchall()
    if not rows:
        raise Refused("401 Unauthorized")
    shown = [with_moves(body, status, picked_up) for _, status, picked_up, body in rows[:limit] if body]
    cursor = orjson.dumps(sign(rows[limit - 1][0]) if len(rows) > limit else None)
    return "200 OK", b'{"items":[' + b",".join(shown) + b'],"next_cursor":' + cursor + b"}", private()


def sign(delivery_id):
    position = f'["-created_at","{delivery_id}"]'.encode()
    signature = hmac.digest(SETTINGS["SECRET_KEY"].encode(), position, "sha1")
    return b".".join(urlsafe_b64encode(part).rstrip(b"=") for part in (position, signature)).decode()


def create(environ):
    claims, given = signed_in(environ), read_json(environ)
    recipient, destination = given["recipient"], given["destination"]
    for text in (given["item_name"], recipient["name"], destination["line1"], destination["city"]):
        if not isinstance(text, str) or not 1 <= len(text) <= 200:
            raise Refused("422 Unprocessable Content")
    now, own_id, owner_id, number = datetime.now(UTC), uuid7(), UUID(claims["sub"]), new_number()
    told = {"name": recipient["name"], "email": recipient.get("email"), "phone": recipient.get("phone"), "locale": "en"}
    values = {
        **claims, "id": own_id, "owner_id": owner_id, "number": number, "now": now, "item_name": given["item_name"],
        "recipient_name": told["name"], "recipient_email": told["email"], "recipient_phone": told["phone"],
        "destination": orjson.dumps(destination).decode(), "requirements": orjson.dumps(REQUIREMENTS).decode(),
        "request_id": secrets.token_hex(16), "mail_to_sender": uuid7(), "mail_to_recipient": uuid7(),
    }  # fmt: skip
    with database().transaction():
        if database().execute(statements.CREATE, values).rowcount != 1:
            raise Refused("401 Unauthorized")
        database().execute(statements.APPEND, values)
        database().execute(statements.TELL, values)
    answer = {
        "id": own_id, "tracking_number": number, "test": False, "status": "pending",
        "allowed_transitions": PENDING, "owner_id": owner_id, "courier_id": None, "reference": None,
        "item_name": given["item_name"],
        "description": None, "recipient": told, "pickup": None, "destination": destination, "package": None,
        "window": {"earliest": None, "latest": None}, "requirements": REQUIREMENTS, "tags": [],
        "notifications": None,
        "version": 1, "created_at": now, "updated_at": now, "picked_up_at": None,
    }  # fmt: skip
    headers = private(("ETag", '"1"'), ("Location", f"/api/deliveries/{own_id}"))
    return "201 Created", orjson.dumps(answer, option=orjson.OPT_UTC_Z), headers


def login(environ):
    given = read_json(environ)
    row = database().execute(statements.CREDENTIALS, (given["email"],)).fetchone()
    try:
        HASHER.verify(row[2], given["password"])
    except (TypeError, Argon2Error):
        raise Refused("401 Unauthorized") from None
    user_id, epoch = row[:2]
    now, sid = datetime.now(UTC), uuid7()
    expires, ends = now + timedelta(minutes=TOKEN_MINUTES), now + timedelta(days=14)
    refresh_token = f"rt_{secrets.token_urlsafe(32)}"
    opened = {"sid": sid, "user_id": user_id, "epoch": epoch, "now": now, "ends": ends}
    opened["hash"] = hashlib.sha256(refresh_token.encode()).digest()
    database().execute(statements.OPEN_SESSION, opened)
    claims = {
        "fresh": False, "type": "access", "jti": secrets.token_hex(16), "sub": str(user_id), "sid": str(sid),
        "epoch": epoch, "iat": now, "nbf": now, "exp": expires, "iss": "delivery", "aud": "delivery",
    }  # fmt: skip
    token = jwt.encode(claims, SETTINGS["JWT_SECRET_KEY"], headers={"typ": "at+jwt"})
    answer = {"access_token": token, "token_type": "Bearer", "expires_in": TOKEN_MINUTES * 60}
    return "200 OK", orjson.dumps({**answer, "refresh_token": refresh_token}), [("Cache-Control", "no-store")]


def read_json(environ):
    return orjson.loads(environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"])))


def private(*headers):
    return [("Cache-Control", "private, no-cache"), ("Vary", "Authorization"), *headers]
