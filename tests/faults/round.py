"""One round: a running system, traffic, blows by plan, the way back to rest, and the record of it all."""

import contextlib
import json
import signal
import threading
import time
from collections import Counter

from tests.faults import checks, hooks, plan, rules, seeding
from tests.faults.record import Reader, Record
from tests.faults.traffic import Call, Client, Feed, Line

FORGETFUL = 40
PROBES = 3
# Asked, not killed: what a deployment does.
ASKED = {
    "api_reload": ("api", signal.SIGHUP),
    "worker_stop": ("worker", signal.SIGTERM),
    "cron_stop": ("cron", signal.SIGTERM),
}


class Lab:
    """A system that has been started, its people, and its reader; several rounds may use it."""

    def __init__(self, system, outside, *, crons=1):
        self.system, self.outside = system, outside
        system.migrate()
        courier_id = system.seeded(seeding.seed)
        self.left = []  # what outlived the end
        self.reader = Reader(system.settings["DATABASE_URL"])
        system.start("api", "worker", *("cron", "cron_2")[:crons])
        self.people = seeding.sign_in(system.port, courier_id)
        self.endpoints = seeding.open_endpoints(system.port, self.people, outside.hooks.url)

    def close(self):
        """Stop the system; returns what had to be killed."""
        self.reader.close()
        return self.system.stop()


def play(lab, seed, *, kills, seconds, clients=4, forgetful=FORGETFUL, only=None, say=lambda _: None):
    """Play one round; returns (record, figures, breaches)."""
    system, outside = lab.system, lab.outside
    label = f"r{seed}"
    blows = plan.make(seed, database=system.database, kills=kills, seconds=seconds, only=only)
    outside.forget()
    emails = system.seeded(lambda: seeding.forgetful(f"{label}-{time.time_ns()}", forgetful))
    lab.people.refresh(emails)
    since, began = lab.reader.now(), time.time()
    marks = len(system.kills), len(system.points.notes(system.points.kills))
    feed = Feed(system.port, lab.people.dispatcher)
    feed.start()
    probes = probe(lab, label)
    ending, giving_up = threading.Event(), threading.Event()
    crowd = [
        Client(number, seed=label, port=system.port,
               people=lab.people, ending=ending, giving_up=giving_up)
        for number in range(clients)
    ]  # fmt: skip
    for client in crowd:
        client.start()
    executioner = Executioner(lab, say=say)
    executioner.carry_out(blows, seconds=seconds)
    missed = executioner.relent()
    ending.set()
    rested = rest(lab, crowd, giving_up)
    feed.finish()
    record = Record(
        calls=[call for client in crowd for call in client.calls] + probes.calls,
        received=outside.received(), misdeeds=list(outside.misdeeds.rows),
        kills=system.kills[marks[0]:] + system.points.notes(system.points.kills)[marks[1]:],
        handed_off=system.points.notes(system.points.handed_off), probes=probes.seen,
        endpoints=lab.endpoints, feed=feed.events, outages=list(system.outages),
        lease_seconds=system.pace.lease_seconds, ladders=system.pace.ladders,
        leftovers=[error for client in crowd for error in client.errors],
    )  # fmt: skip
    lab.reader.fill(record, like=f"{label}-%", since=since, addresses=emails)
    figures = measure(record, missed=missed, seconds=time.time() - began, rested=rested)
    return record, figures, checks.run(record)


class Executioner:
    """Carries out a plan; what lasts runs beside it, in threads."""

    def __init__(self, lab, *, say):
        self.system, self.outside, self.say = lab.system, lab.outside, say
        self.beside, self.armed, self.missed = [], set(), []

    def carry_out(self, blows, *, seconds):
        began = time.monotonic()
        for blow in blows:
            time.sleep(max(0.0, began + blow.at - time.monotonic()))
            self.say(f"{blow.at:6.2f} {blow.name}")
            self.strike(blow)
        time.sleep(max(0.0, began + seconds - time.monotonic()))

    def strike(self, blow):
        name, system = blow.name, self.system
        if name in plan.API_POINTS or name in plan.WORKER_POINTS:
            self.arm(name)
        elif name == "api_master":
            self._beside(self.system.crash_api)
        elif name in ASKED:
            system.ask(*ASKED[name])
        elif name in {"api_worker", "cron", "worker_child", "worker_parent"}:
            system.kill(name, blow.choice)
        elif name.startswith(("smtp_", "sms_", "hook_")):
            if lasts := self.outside.do(name):
                self._beside(self._end_misdeed, lasts)
        else:
            self._beside(getattr(self, f"_{name}"))

    def arm(self, name):
        self.armed.add(name)
        if not self.system.points.arm(name):
            self.missed.append(name)

    def _beside(self, function, *args):
        thread = threading.Thread(target=function, args=args, daemon=True)
        thread.start()
        self.beside.append(thread)

    def _end_misdeed(self, seconds):
        time.sleep(seconds)
        self.outside.calm()

    def _redis(self):
        self.system.crash_redis(1.0)

    def _redis_flush(self):
        with contextlib.suppress(Exception), self.system.redis.client() as client:
            client.flushall()

    def _redis_freeze(self):
        with contextlib.suppress(ProcessLookupError):
            self.system.redis.freeze()
            time.sleep(2.5)
            self.system.redis.thaw()

    def _redis_full(self):
        with contextlib.suppress(Exception), self.system.redis.client() as client:
            client.config_set("maxmemory", "1mb")
            time.sleep(2.5)
            client.config_set("maxmemory", "0")

    def _postgres(self):
        self.system.crash_postgres()

    def _postgres_freeze(self):
        self.system.cluster.hold(3.0)

    def _sqlite_lock(self):
        with contextlib.suppress(Exception):
            self.system.hold_lock(6.0)

    def _worker_freeze(self):
        """Stop a worker that has claimed and not yet handed off, until its lease is over and another has sent."""
        name = f"{hooks.FREEZE}_claimed"
        before = len(self._frozen())
        self.arm(name)
        end = time.monotonic() + 10
        while len(self._frozen()) == before:
            # Once it is not armed any more, it was reached at this moment, and has to be thawed.
            if time.monotonic() > end and self.system.points.disarm(name):
                return
            time.sleep(0.05)
        time.sleep(self.system.pace.lease_seconds + 3)
        self.system.thaw(self._frozen()[-1]["pid"])

    def _frozen(self):
        points = self.system.points
        return [note for note in points.notes(points.kills) if note["name"].startswith(hooks.FREEZE)]

    def relent(self):
        """Let everything be well again; returns the names of the points that nobody passed."""
        for name in sorted(self.armed):
            while self.system.points.disarm(name):
                self.missed.append(name)
        for thread in self.beside:
            thread.join()
        self.system.redis.thaw()
        with contextlib.suppress(Exception), self.system.redis.client() as client:
            client.config_set("maxmemory", "0")
        self.outside.behave()
        return self.missed


def rest(lab, crowd, giving_up):
    """Wait until every client has its answer and nothing is due; returns the seconds that it took."""
    began = time.monotonic()
    end = began + lab.system.pace.rest_seconds
    for client in crowd:
        client.join(max(0.0, min(30.0, end - time.monotonic())))
    giving_up.set()
    for client in crowd:
        client.join(20)
    while time.monotonic() < end and lab.reader.count_open():
        time.sleep(0.2)
    time.sleep(0.3)  # one that is too many comes right behind the last
    return time.monotonic() - began


class Probe:
    def __init__(self):
        self.calls, self.seen = [], []


def probe(lab, label):
    """With cron held, have commits take their time: the wake must come after them, or nobody sends.

    A wake that another drain has not answered yet is enough for both, so each probe waits until all is quiet.
    """
    found, system = Probe(), lab.system
    crons = [member for name, member in system.members.items() if name.startswith("cron") and member.wanted]
    for cron in crons:
        cron.stop()
    for cron in crons:
        cron.wait(12)
    time.sleep(0.3)
    system.points.arm(hooks.SLOW_COMMIT)
    line = Line(system.port, lab.people.customers[0])
    try:
        for number in range(PROBES):
            found.calls.append(call := _order(f"{label}-probe-{number}"))
            while not call.acknowledged and len(call.tries) < 5:  # the line was idle, and may have been closed
                line.ask(call)
            if call.acknowledged:
                found.seen.append((json.loads(call.acknowledged.body)["id"], _seconds_until(lab, call)))
    finally:
        system.points.disarm(hooks.SLOW_COMMIT)
        line.close()
        for cron in crons:
            cron.start()
    return found


def _order(reference):
    body = {
        "item_name": "A probe", "reference": reference,
        "recipient": {"name": "Grace Doorstep", "email": f"grace-{reference}@home.example"},
        "destination": {"line1": "12 Harbour Street", "city": "Bristol", "country": "GB"},
    }  # fmt: skip
    return Call(reference, "create", "POST", "/api/deliveries", body, subject=reference)


def _seconds_until(lab, call):
    address = call.body["recipient"]["email"]
    asked = call.acknowledged.ended_at
    end = asked + rules.PROMPT_SECONDS + 1
    while time.time() < end:
        for one in lab.outside.received():
            if one.to == address:
                return max(0.0, one.at - asked)
        time.sleep(0.02)
    return None


def measure(record, *, missed, seconds, rested):
    """The figures of a round; those of several are added up."""
    states = Counter(row["state"] for row in record.messages)
    copies = Counter((one.channel, one.id) for one in record.received if one.id)
    twice = Counter(dict.fromkeys(("mail", "webhook"), 0))
    for (channel, _), count in copies.items():
        twice[channel] += count - 1
    waits = [row["settled_at"] - row["created_at"] for row in record.messages if row["settled_at"]]
    tries = [one for call in record.calls for one in call.tries]
    return {
        "deliveries": len(record.deliveries),
        "changes acknowledged": sum(bool(call.acknowledged) for call in record.calls if call.kind != "illegal"),
        "answers lost": sum(one.status is None for one in tries),
        "answers 503": sum(one.status == 503 for one in tries),
        "messages due": len(record.messages),
        "received": len(record.received),
        "copies of account mails": twice["mail"],
        "webhooks sent again": twice["webhook"],
        "states": dict(sorted(states.items())),
        "kills": dict(
            sorted(Counter(kill["name"] for kill in record.kills if kill["name"] in plan.KILLS["postgresql"]).items())
        ),
        "points not reached": len(missed),
        "slowest settled, seconds": round(max(waits, default=0.0), 1),
        "slowest answer, seconds": round(max((one.seconds for one in tries), default=0.0), 1),
        "seconds": round(seconds, 1),
        "seconds to rest": round(rested, 1),
    }
