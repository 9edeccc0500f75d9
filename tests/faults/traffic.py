"""Clients: they create, edit and move deliveries, ask again when an answer was lost, and record all that they saw."""

import hashlib
import http.client
import itertools
import json
import random
import threading
import time
from dataclasses import dataclass, field

from tests.faults import rules

TRY_AGAIN = {502, 503, 504}
KEYED = {"create", "move", "edit"}  # what has an effect, and an Idempotency-Key
PATIENCE_SECONDS = 15.0  # of one try; ten are promised
PAUSE_SECONDS = 0.25


@dataclass
class Try:
    """One sending of a request and what came back."""

    sent_at: float
    ended_at: float = 0.0
    status: int | None = None  # None: the line broke
    body: bytes = b""
    headers: dict = field(default_factory=dict)

    @property
    def seconds(self):
        return self.ended_at - self.sent_at

    @property
    def final(self):
        if self.status is None or self.status in TRY_AGAIN:
            return False
        return not (self.status == 409 and "retry-after" in self.headers)


@dataclass
class Call:
    """One thing that a client wants, under one key, however often it has to ask."""

    key: str
    kind: str  # create, move, edit, illegal, forgot
    method: str
    path: str
    body: dict
    version: int | None = None  # If-Match
    subject: str = ""
    tries: list = field(default_factory=list)

    @property
    def acknowledged(self):
        """The first success that came back, or None."""
        return next((one for one in self.tries if one.status and 200 <= one.status < 300), None)

    @property
    def final(self):
        """The first answer after which nobody would ask again, or None."""
        return next((one for one in self.tries if one.final), None)


class Line:
    """One keep-alive connection."""

    def __init__(self, port, token):
        self._port, self._token = port, token
        self._http = self._connect()

    def _connect(self):
        return http.client.HTTPConnection("127.0.0.1", self._port, timeout=PATIENCE_SECONDS)

    def ask(self, call):
        """Send a call once and record what came of it."""
        one = Try(time.time())
        call.tries.append(one)
        headers = {"Content-Type": "application/json", "Host": "localhost", "Connection": "keep-alive"}
        if self._token:
            headers |= {"Authorization": f"Bearer {self._token}"}
            headers |= {} if call.method == "GET" else {"Idempotency-Key": call.key}
        else:
            headers["X-Forwarded-For"] = _address_of(call.key)
        if call.version is not None:
            headers["If-Match"] = f'"{call.version}"'
        try:
            body = None if call.body is None else json.dumps(call.body)
            self._http.request(call.method, call.path, body=body, headers=headers)
            answer = self._http.getresponse()
            one.body = answer.read()
            one.headers = {name.lower(): value for name, value in answer.getheaders()}
            one.status = answer.status
        except (OSError, http.client.HTTPException):
            self._http.close()
            self._http = self._connect()
        one.ended_at = time.time()
        return one

    def close(self):
        self._http.close()


class Feed(threading.Thread):
    """A program that reads the feed of events all the while; a lost answer is asked for again from the same place."""

    def __init__(self, port, token):
        super().__init__(name="feed", daemon=True)
        self.events, self.after, self._line, self._ended = [], "latest", Line(port, token), threading.Event()
        self.read()  # where it stands now

    def run(self):
        while not self._ended.wait(0.4):
            self.read()

    def read(self):
        """One page; whether that was all there is."""
        answer = self._line.ask(Call("feed", "feed", "GET", f"/api/events?limit=100&after={self.after}", None))
        if answer.status != 200:
            return False
        page = json.loads(answer.body)
        self.after = page["next_after"]
        self.events += [(one["data"]["delivery_id"], one["data"]["sequence"]) for one in page["items"]]
        return not page["has_more"]

    def finish(self):
        """Read on to the end; events appear a second after they happened, at the latest."""
        self._ended.set()
        self.join()
        time.sleep(2.5)
        for _ in range(200):
            if self.read():
                break
        self._line.close()


def _address_of(key):
    return "10." + ".".join(str(byte) for byte in hashlib.sha256(key.encode()).digest()[:3])


class Client(threading.Thread):
    """One customer and the dispatcher who moves what they send; ends when told to, after its last call."""

    def __init__(self, number, *, seed, port, people, ending, giving_up):
        super().__init__(name=f"client-{number}", daemon=True)
        self.number, self.seed, self.people = number, seed, people
        self.chance = random.Random(f"{seed}:client:{number}")
        self.calls, self.errors = [], []
        self._ending, self._giving_up = ending, giving_up
        self._customer = Line(port, people.customers[number % len(people.customers)])
        self._dispatcher, self._twin = Line(port, people.dispatcher), Line(port, people.dispatcher)
        self._nobody = Line(port, None)
        self._keys = itertools.count(1)

    def run(self):
        try:
            for count in itertools.count(1):
                if self._ending.is_set():
                    return
                self.live(count)
                if count % 3 == 0:
                    self.forget_a_password()
        except Exception as error:  # noqa: BLE001  the main thread reports it
            self.errors.append(f"{self.name}: {error!r}")
        finally:
            for line in (self._customer, self._dispatcher, self._twin, self._nobody):
                line.close()

    def live(self, count):
        """One delivery from its order to wherever it gets."""
        reference = f"{self.seed}-{self.number}-{count}"
        draft = self.chance.random() < 0.1
        recipient = {"name": "Grace Doorstep"}
        if self.chance.random() < 0.9:
            recipient["email"] = f"grace-{reference}@home.example"
        if self.chance.random() < 0.8:
            recipient["phone"] = f"+1202555{self.people.next_number():04d}"
        body = {
            "item_name": f"Bicycle {reference}", "reference": reference, "draft": draft, "recipient": recipient,
            "destination": {"line1": "12 Harbour Street", "city": "Bristol", "country": "GB"},
        }  # fmt: skip
        made = self.settle(self._call("create", "POST", "/api/deliveries", body, subject=reference), self._customer)
        if made is None:
            return
        shown, picked_up = json.loads(made.body), False
        for _ in range(self.chance.randint(2, 7)):
            if self._ending.is_set() or shown is None:
                return
            shown, picked_up = self.step(shown, picked_up=picked_up)

    def step(self, shown, *, picked_up):
        """Edit, move, or try what is not allowed; return the delivery as the answer shows it."""
        path, roll = f"/api/deliveries/{shown['id']}", self.chance.random()
        time.sleep(self.chance.uniform(0, 0.12))
        legal = rules.legal_moves(shown["status"], picked_up=picked_up)
        ways = [way for way in legal if way != "cancelled"]
        if not ways:
            return None, picked_up
        if roll < 0.15:
            body = {"description": f"Edited {self.chance.randrange(10**6)}"}
            call = self._call("edit", "PATCH", path, body, version=shown["version"], subject=shown["reference"])
        elif roll < 0.2:
            illegal = sorted(set(rules.MOVES) - rules.MOVES[shown["status"]] - {"draft"})
            self._illegal(shown, self.chance.choice(illegal))
            return shown, picked_up
        else:
            to = "cancelled" if roll > 0.97 and "cancelled" in legal else self.chance.choice(ways)
            body = {"to": to} | ({"courier_id": self.people.courier_id} if to == "assigned" else {})
            call = self._call("move", "POST", f"{path}/transitions", body, subject=shown["reference"])
        done = self.settle(call, self._dispatcher)
        if done is None:
            return None, picked_up
        shown = json.loads(done.body)
        return shown, picked_up or shown["status"] in rules.ON_ITS_WAY

    def _illegal(self, shown, to):
        body = {"to": to} | ({"courier_id": self.people.courier_id} if to == "assigned" else {})
        path = f"/api/deliveries/{shown['id']}/transitions"
        self.settle(self._call("illegal", "POST", path, body, subject=shown["reference"]), self._dispatcher)

    def forget_a_password(self):
        """Ask for a link; each user once, since a third mail within the hour would be refused."""
        email = self.people.next_forgetful()
        if email:
            call = self._call("forgot", "POST", "/api/auth/request-password-reset", {"email": email}, subject=email)
            self.settle(call, self._nobody)

    def _call(self, kind, method, path, body, **more):
        call = Call(f"{self.seed}.{self.number}.{next(self._keys)}", kind, method, path, body, **more)
        self.calls.append(call)
        return call

    def settle(self, call, line):
        """Ask until there is an answer worth keeping; sometimes twice at once, and sometimes once more after it."""
        if call.kind == "move" and self.chance.random() < 0.1:
            self._at_once(call)
        while call.final is None and not self._giving_up.is_set():
            line.ask(call)
            if call.final is None:
                time.sleep(PAUSE_SECONDS * self.chance.uniform(0.3, 1.0))
        done = call.acknowledged
        if done and call.kind in KEYED and self.chance.random() < 0.2:
            line.ask(call)
        return done

    def _at_once(self, call):
        """The same request by two connections: whoever comes second must wait for the first, and get its answer."""
        twin = threading.Thread(target=self._twin.ask, args=(call,), daemon=True)
        twin.start()
        self._dispatcher.ask(call)
        twin.join()


class People:
    """Who acts: tokens, the courier's id, and those who forget their passwords."""

    def __init__(self, *, emails, customers, dispatcher, courier_id, forgetful):
        self.emails = emails
        self.customers, self.dispatcher, self.courier_id = customers, dispatcher, courier_id
        self._forgetful, self._lock = list(forgetful), threading.Lock()
        self._numbers = itertools.count(1)

    def next_forgetful(self):
        with self._lock:
            return self._forgetful.pop() if self._forgetful else None

    def next_number(self):
        with self._lock:
            return next(self._numbers)

    def refresh(self, forgetful):
        self._forgetful = list(forgetful)
