"""Many rounds on running systems, their figures added up, and the table that the documents show."""

import json
import pickle
import platform
import shutil
from collections import Counter
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime

import psutil

from tests.faults import bugs
from tests.faults.outside import outside
from tests.faults.round import Lab, play
from tests.faults.system import running
from tests.servers.processes import adopt_orphans, descendants, end_descendants

BEGIN, END = "<!-- campaign: begin -->", "<!-- campaign: end -->"
NAMED_AT_MOST = 20  # here; the report has all
ROUND_KILLS, ROUND_SECONDS = 60, 60.0
WORST = ("slowest settled, seconds", "slowest answer, seconds", "seconds to rest")
PLANTED_SECONDS, PLANTED_KILLS = 8.0, 3


@contextmanager
def laboratory(database, *, pace="short", bug="", crons=1):
    """Yield a running lab; what it leaves behind is added to its `left` at the end."""
    adopt_orphans()
    not_ours = descendants()
    with ExitStack() as stack:
        world = stack.enter_context(outside())
        lab = Lab(stack.enter_context(running(database, outside=world, pace=pace, bug=bug)), world, crons=crons)
        try:
            yield lab
        finally:
            lab.left += [f"{name} had to be killed" for name in lab.close()]
    lab.left += end_descendants(but=not_ours)


def campaign(databases, *, kills, first_seed, say, minutes=None, pace="short", keep=None):
    """Play rounds on each database until all together have had so many kills; returns the rounds."""
    rounds, share = [], kills / len(databases)
    for database in databases:
        done, seed, ends = 0, first_seed, _deadline(minutes, len(databases))
        with laboratory(database, pace=pace, crons=2) as lab:
            while done < share and not (ends and datetime.now(UTC).timestamp() > ends):
                rounds.append(one(lab, seed, kills=ROUND_KILLS, seconds=ROUND_SECONDS, say=say, keep=keep))
                done, seed = done + sum(rounds[-1]["figures"]["kills"].values()), seed + 1
        rounds[-1]["breaches"] += [f"nothing_needs_a_hand: {line}: was left behind" for line in lab.left]
    return rounds


def _deadline(minutes, shares):
    return minutes and datetime.now(UTC).timestamp() + 60 * minutes / shares


def one(lab, seed, *, kills, seconds, say, only=None, keep=None):
    """Play a round and say how it went; returns what is kept of it."""
    database = lab.system.database
    say(f"seed {seed} on {database}: {kills} kills in {seconds:.0f} s")
    record, figures, breaches = play(
        lab, seed, kills=kills, seconds=seconds, only=only, say=lambda line: say(f"  {line}")
    )
    if breaches and keep:
        keep_evidence(lab, record, keep / f"{database}-{seed}")
    lines = [str(breach) for breach in breaches]
    for line in lines[:NAMED_AT_MOST]:
        say(f"BREACH {line}")
    return {"seed": seed, "database": database, "figures": figures, "breaches": lines}


def keep_evidence(lab, record, folder):
    """Copy the logs, and the record, so that a breach can be looked into."""
    folder.mkdir(parents=True, exist_ok=True)
    for log in lab.system.folder.glob("*.log"):
        shutil.copy(log, folder)
    (folder / "record.pickle").write_bytes(pickle.dumps(record))


def planted(*, say):
    """Plant each bug and see which check finds it, and nothing where there is none; returns the names of failures."""
    failures = []
    for name, (fault, expected) in {**bugs.BROUGHT_OUT_BY, "": (None, None)}.items():
        with laboratory("postgresql", bug=name) as lab:
            _, _, breaches = play(lab, 1, kills=PLANTED_KILLS, seconds=PLANTED_SECONDS, only=fault)
        found = Counter(breach.check for breach in breaches)
        right = expected in found if name else not found
        verdict = ("caught" if name else "clean") if right else "WRONG"
        say(f"{name or 'no bug'}: {verdict}; found by {dict(found) or 'nobody'}")
        failures += [] if right else [name or "no bug"]
    return failures


def totals(rounds):
    """The figures of all rounds: added up, the worst of them where that is what matters."""
    added, kills, states, worst = Counter(), Counter(), Counter(), {}
    for figures in (one["figures"] for one in rounds):
        kills.update(figures["kills"])
        states.update(figures["states"])
        for name, value in figures.items():
            if name in WORST:
                worst[name] = max(value, worst.get(name, 0.0))
            elif not isinstance(value, dict):
                added[name] += value
    breaches = sum(len(one["breaches"]) for one in rounds)
    return {**added, "seconds": round(added["seconds"]), **worst, "kills": dict(sorted(kills.items())),
            "states": dict(sorted(states.items())), "breaches": breaches}  # fmt: skip


def report(rounds):
    """What is written as JSON."""
    databases = sorted({one["database"] for one in rounds})
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": f"{psutil.cpu_count()} processors, Python {platform.python_version()}",
        "totals": totals(rounds),
        "by database": {name: totals([one for one in rounds if one["database"] == name]) for name in databases},
        "rounds": rounds,
    }


def table(told):
    """The report as a Markdown table: a column for each database, and one for all."""
    columns = {**told["by database"], "together": told["totals"]}
    seeds = {name: [one["seed"] for one in told["rounds"] if name in {one["database"], "together"}] for name in columns}
    lines = [
        f"| | {' | '.join(columns)} |",
        f"|---|{'---:|' * len(columns)}",
        _row("rounds", [len(seeds[name]) for name in columns]),
        _row("kills", [sum(one["kills"].values()) for one in columns.values()]),
    ]
    lines += [
        _row(f"&nbsp;&nbsp;{name}", [one["kills"].get(name, 0) for one in columns.values()])
        for name in sorted(told["totals"]["kills"])
    ]
    plain = [name for name, value in told["totals"].items() if not isinstance(value, dict)]
    lines += [_row(name, [one[name] for one in columns.values()]) for name in plain]
    lines += [
        _row(f"messages that are {name}", [one["states"].get(name, 0) for one in columns.values()])
        for name in sorted(told["totals"]["states"])
    ]
    shown = sorted({one["seed"] for one in told["rounds"]})
    lines += ["", f"Seeds {shown[0]} to {shown[-1]}, {told['at'][:10]}, {told['machine']}."]
    return "\n".join(lines)


def _row(name, values):
    return f"| {name} | {' | '.join(str(value) for value in values)} |"


def write(told, paper):
    """Put the table between the markers of a paper."""
    text = paper.read_text(encoding="utf-8")
    head, rest = text.split(BEGIN)
    tail = rest.split(END)[1]
    paper.write_text(f"{head}{BEGIN}\n{table(told)}\n{END}{tail}", encoding="utf-8")


def save(told, file):
    file.write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")
