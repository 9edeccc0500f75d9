"""The plan of a round: what goes wrong, and when. The same seed makes the same plan."""

import random
from dataclasses import dataclass

# Where a process kills itself: hooks.py knows how each place is noticed. The weights say how often each is chosen.
API_POINTS = {"mid_transaction": 3, "before_commit": 4, "after_commit": 5, "after_wake": 4}
WORKER_POINTS = {"popped": 3, "claimed": 4, "handed_off": 4, "sent": 5, "settled": 3}
# Killed from outside, at whatever moment that is.
MEMBERS = {"api_worker": 6, "api_master": 1, "worker_child": 5, "worker_parent": 2, "cron": 2, "redis": 2}
KILLS = {
    "sqlite": API_POINTS | WORKER_POINTS | MEMBERS,
    "postgresql": API_POINTS | WORKER_POINTS | MEMBERS | {"postgres": 2},
}
TROUBLES = {
    "api_reload": 1, "worker_stop": 1, "cron_stop": 1,
    "redis_flush": 2, "redis_freeze": 1, "redis_full": 1, "worker_freeze": 1,
    "smtp_drop": 2, "smtp_451": 2, "smtp_550": 2, "smtp_slow": 1, "smtp_closing": 1, "smtp_tls": 1,
    "sms_drop": 1, "sms_500": 2, "sms_429": 1, "sms_hang": 1, "sms_number": 1,
    "hook_302": 1, "hook_410": 1, "hook_429": 1, "hook_500": 2, "hook_drip": 1, "hook_endless": 1, "hook_reset": 2,
    "hook_hang": 1,
}  # fmt: skip
FAULTS = {
    "sqlite": TROUBLES | {"sqlite_lock": 1},
    "postgresql": TROUBLES | {"postgres_freeze": 1},
}
# What leaves the system without a part of it for seconds comes once in a while, or nothing else would happen.
RARE_SECONDS = {
    "api_master": 12.0, "api_reload": 12.0, "worker_parent": 6.0, "worker_stop": 12.0, "worker_freeze": 25.0,
    "cron_stop": 8.0, "redis": 8.0, "redis_freeze": 15.0, "redis_full": 15.0,
    "postgres": 12.0, "postgres_freeze": 20.0, "sqlite_lock": 25.0,
    "smtp_tls": 15.0, "smtp_slow": 15.0, "sms_hang": 15.0,
}  # fmt: skip
TROUBLES_PER_KILL = 0.4


@dataclass(frozen=True, order=True)
class Blow:
    """One fault: seconds after the traffic began, its name, and a number that decides between equals."""

    at: float
    name: str
    choice: int

    @property
    def kills(self):
        return self.name in KILLS["postgresql"]


def make(seed, *, database, kills, seconds, only=None):
    """The blows of a round in order: `kills` that end a process, and two for every five that only hinder."""
    chance = random.Random(f"{seed}:{database}")
    lethal, hindering = _chosen(KILLS[database], only), _chosen(FAULTS[database], only)
    blows = []
    for weights, count in ((lethal, kills), (hindering, round(kills * TROUBLES_PER_KILL) if lethal else kills)):
        last = {}
        for number in range(count if weights else 0):
            at = round((number + chance.random()) * seconds / count, 2)
            ready = {name: weight for name, weight in weights.items() if _ready(name, at, last)} or weights
            name = chance.choices(list(ready), weights=list(ready.values()))[0]
            last[name] = at
            blows.append(Blow(at, name, chance.randrange(1000)))
    return sorted(blows)


def _chosen(weights, only):
    return {name: weight for name, weight in weights.items() if only in {None, name}}


def _ready(name, at, last):
    return name not in last or at - last[name] >= RARE_SECONDS.get(name, 0.0)


def names(database):
    return sorted(KILLS[database] | FAULTS[database])
