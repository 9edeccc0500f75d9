"""People whose every field is a canary, and all that can be done, rightly and wrongly."""

import json
import re
import socket
from contextlib import suppress

from sqlalchemy import text

from delivery import jobs
from delivery.database import db
from delivery.notifications import alarm, registry
from delivery.notifications import jobs as drains
from delivery.notifications.states import Channel
from delivery.ops.worker import worker_of
from tests.canaries.words import Bodies
from tests.factories import People

METHODS = {"get", "post", "patch", "put", "delete"}
LINK = re.compile(r"token=([\w.-]+)")


class Crowd:
    """People whose every field is a canary, and what they do."""

    def __init__(self, app, canaries):
        self.app, self.canaries, self.people = app, canaries, People(app)
        self.client = app.test_client()
        self.admin, self.customer = self.person("admin"), self.person("customer")
        self.document = self.client.get("/openapi.json").json
        self.delivery = self.customer.create(**self.delivery_body())

    def person(self, role):
        new = self.canaries
        made = self.people.make(role, name=new.word("user name"), email=new.email("user e-mail"), phone=new.phone())
        new.secret("access token", made.headers["Authorization"].rpartition(".")[2])  # its signature
        return made

    def bodies(self, **fixed):
        return Bodies(self.document, self.canaries, active=True, **fixed)

    def delivery_body(self):
        schema = self.document["components"]["schemas"]["DeliveryIn"]
        window = {"earliest": None, "latest": None}
        return {**self.bodies(window=window, draft=False, owner_id=None).of(schema), "owner_id": self.customer.user_id}

    def headers(self, **more):
        given = {"User-Agent": self.canaries.word("user agent"), "Referer": self.canaries.word("referer")}
        return {**given, "Idempotency-Key": self.canaries.word("idempotency key"), "If-Match": "*", **more}

    def operations(self):
        for path, methods in self.document["paths"].items():
            filled = path.replace("{user_id}", self.customer.user_id).replace("{delivery_id}", self.delivery["id"])
            filled = re.sub(r"\{\w+\}", "0190a0a0-0000-7000-8000-000000000000", filled)
            for method, operation in methods.items():
                if method in METHODS and method != "delete" and not path.endswith(("logout", "logout-all", "erase")):
                    yield method.upper(), filled, operation


def try_everything(crowd):
    """Every operation with a full body: by an admin, with what nobody can accept, with a forged token, by nobody."""
    statuses = []
    for method, path, operation in crowd.operations():
        content = operation.get("requestBody", {}).get("content", {})
        query = {
            one["name"]: crowd.canaries.word("query") for one in operation.get("parameters", ()) if one["in"] == "query"
        }
        for ask in (
            {"json": _body(crowd, content)},
            {"json": _body(crowd, content) | {"surprise": crowd.canaries.word("unknown field")}},
            {"data": f'{{"name": "{crowd.canaries.word("broken body")}', "content_type": "application/json"},
            {"query_string": query, "json": _body(crowd, content)},
        ):
            for own in (crowd.admin.headers, forged(crowd), {}):
                answer = crowd.client.open(path, method=method, headers=crowd.headers(**own), **ask)
                assert answer.status_code < 500, (method, path, answer.text)
                if "secret" in (answer.json or {}):
                    use_key(crowd, answer.json["secret"])
                statuses.append(answer.status_code)
    assert {200, 201, 401, 422} <= set(statuses)
    assert "API key" in crowd.canaries.drawn.values()


def use_key(crowd, secret):
    """An API key, as it should be and with its last character gone."""
    key = crowd.canaries.secret("API key", secret)
    for sent in (key, key[:-1]):
        crowd.client.get("/api/deliveries", headers=crowd.headers(Authorization=f"Bearer {sent}"))


def _body(crowd, content):
    schema = content.get("application/json", {}).get("schema")
    return crowd.bodies().of(schema) if schema else {}


def forged(crowd):
    return {"Authorization": f"Bearer {crowd.canaries.word('forged token')}.{crowd.canaries.word('forged token')}.x"}


def sign_up_and_in(crowd, smtp):
    """The whole way from registration to a session, its errors included."""
    new, client = crowd.canaries, crowd.client
    address, password = new.email("sign-up e-mail"), new.value("password", {})
    who = {"name": new.word("sign-up name"), "email": address, "password": password, "phone": new.phone()}
    for _ in range(2):
        assert client.post("/api/users", json=who, headers=crowd.headers()).status_code == 202
    drain(crowd.app, "mail")
    mails = "".join(one.message.get_body(["plain"]).get_content() for one in smtp.received)
    links = set(LINK.findall(mails))
    assert links
    for link in links:
        new.secret("verification token", link.rpartition(".")[2])
        client.get(f"/api/auth/verify-email?token={link}")
        for _ in range(2):
            client.post("/api/auth/verify-email", json={"token": link})
    for given in (password, new.word("wrong password")):
        for ask in (
            {"json": {"email": address, "password": given}},
            {"data": {"username": address, "password": given}},
        ):
            answer = client.post("/api/auth/login", headers=crowd.headers(), **ask)
            for name in ("access_token", "refresh_token"):
                if answer.json.get(name):
                    new.secret(name, answer.json[name].rpartition(".")[2])
    assert client.post("/api/auth/login", json={"email": address, "password": password}).status_code == 200


def get_lost(crowd):
    for path in (
        "/{}",
        "/api/{}",
        "/api/deliveries/{}",
        "/api/users/{}/deliveries?q={}",
        "/track/{}",
        "/docs/assets/{}",
    ):
        for method in ("GET", "POST", "DELETE"):
            filled = path.replace("{}", crowd.canaries.word("path"))
            crowd.client.open(filled, method=method, headers=crowd.headers(**crowd.customer.headers))


def break_views(crowd, monkeypatch):
    """A view that raises; a database that says what it was given."""
    word = crowd.canaries.word("in an exception")

    def raises():
        raise RuntimeError(word) from ValueError(word)

    def asks_for_a_number():
        db.session.execute(text("SELECT CAST(:given AS integer) FROM nowhere"), {"given": word})

    def repeats_somebody():
        columns = db.metadata.tables["users"]
        row = db.session.execute(columns.select()).mappings().first()
        db.session.execute(columns.insert(), dict(row))

    for view, status in ((raises, 500), (asks_for_a_number, 503), (repeats_somebody, 409)):
        monkeypatch.setitem(crowd.app.view_functions, "auth.me", view)
        answer = crowd.client.get("/api/auth/me", headers=crowd.customer.headers)
        assert answer.status_code in {status, 500}, view
        assert word not in answer.text


def drain(app, channel):
    with app.app_context():
        drains.deliver(channel, seconds=20)


def be_refused_by_providers(crowd, smtp, twilio, travel):
    """Mail servers and SMS providers that name whom they do not want, in every way that they might."""
    who = crowd.delivery["recipient"]
    local = who["email"].partition("@")[0]
    for answer in (f"550 5.1.1 <{who['email']}> unknown", f"450 {local} is over quota", f"550 no mailbox {local} here"):
        smtp.refuse_recipient(answer, address=who["email"])
    smtp.refuse_data(f"250 2.0.0 queued for {who['email']}")
    digits = who["phone"].lstrip("+")
    for status, words in ((400, who["phone"]), (429, digits), (500, f"({digits[:5]}) {digits[5:]}"), (400, digits)):
        twilio.fail(status, code=21211, message=f"The 'To' number {words} is not valid.")
    courier = crowd.people.courier()
    crowd.admin.move(crowd.delivery, "assigned", courier_id=courier.user_id, note=crowd.canaries.word("note"))
    for to in ("picked_up", "out_for_delivery", "attempt_failed", "out_for_delivery", "delivered"):
        location = {"lat": crowd.canaries.coordinate("lat"), "lng": crowd.canaries.coordinate("lng")}
        words = {"note": crowd.canaries.word("note"), "public_note": crowd.canaries.word("public note")}
        answer = crowd.admin.move(crowd.delivery, to, location=location, **words)
        assert answer.status_code == 200, answer.text
    for _ in range(8):
        for channel in Channel:
            drain(crowd.app, channel)
        travel(minutes=20)


def break_workers(crowd, monkeypatch):
    """A composer, a channel and a whole job that end with the address on their lips."""
    word = crowd.canaries.email("in a worker's exception")

    def raises(*_args, **_options):
        raise RuntimeError(word)

    def again():
        crowd.customer.create(**crowd.delivery_body())

    with monkeypatch.context() as broken:
        broken.setattr(registry, "composer", lambda _template: raises)
        again()
        drain(crowd.app, "mail")
    with crowd.app.app_context(), monkeypatch.context() as broken:
        broken.setattr(registry.transport("mail"), "send", raises)
        again()
        drains.deliver("mail", seconds=20)
    with crowd.app.app_context(), monkeypatch.context() as broken:
        broken.setattr(registry, "transport", raises)
        with jobs.brief_redis() as redis:
            redis.flushdb()
        again()
        broken.setattr(alarm, "answer", lambda _channel: None)
        worker_of("mail").work(burst=True, logging_level="DEBUG")
        with jobs.brief_redis() as redis:
            assert [key for key in redis.scan_iter() if b"failed" in key], "the job has failed, and is kept"


def raw_requests(canaries):
    """Requests as a client writes them, most of them wrong; the first two register somebody."""
    word = canaries.word
    for _ in range(2):
        who = {"name": word("name"), "email": canaries.email(), "password": f"{word('password')} horse"}
        yield http("POST /api/users HTTP/1.1", json.dumps(who), f"User-Agent: {word('user agent')}")
    login = f"username={canaries.email()}&password={word('password')}"
    yield http("POST /api/auth/login HTTP/1.1", login, "Content-Type: application/x-www-form-urlencoded")
    yield http(f"GET /api/auth/verify-email?token={word('token')} HTTP/1.1")
    yield http(f"GET /{word('path')}?q={word('query')} HTTP/1.1", "", f"Authorization: Bearer {word('token')}")
    yield http("GET /api/auth/me HTTP/1.1", "", f"Authorization: Bearer {word('token')}")
    yield http(f"GET /healthz?{word('query')} HTTP/9.9")
    yield http(f"{word('method')} / HTTP/1.1")
    yield http("GET / HTTP/1.1", "", f"{word('header')} : broken")
    yield http(f"GET /{word('long')}{'x' * 9000} HTTP/1.1")
    yield http("GET / HTTP/1.1", "", f"Transfer-Encoding: {word('coding')}")


def http(line, body="", *headers):
    fixed = ("Host: localhost", "Connection: close", f"Content-Length: {len(body)}")
    kind = () if any(one.startswith("Content-Type") for one in headers) else ("Content-Type: application/json",)
    return "\r\n".join((line, *fixed, *kind, *headers, "", body)).encode()


def send_raw(port, request):
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(request)
        with suppress(ConnectionError):
            while connection.recv(65536):
                pass
