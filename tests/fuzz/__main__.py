"""`scripts/fuzz`: Schemathesis for long, on both databases, as each role; ends with 1 when it found something."""

import argparse
import sys
import time

from tests.fuzz import server
from tests.fuzz.campaign import ROLES, run, seed_of_today

PHASES = "examples,coverage,fuzzing,stateful"


def read_words():
    parser = argparse.ArgumentParser(prog="scripts/fuzz", description=__doc__)
    parser.add_argument("--cases", type=int, default=20_000, help="at least so many requests in all (20000)")
    parser.add_argument("--seed", type=int, default=None, help="that of a run before; else by chance")
    parser.add_argument("--role", choices=ROLES, action="append", help="only as this one; may be given again")
    parser.add_argument("--database", choices=server.DATABASES, action="append", help="only on this one")
    parser.add_argument("--examples", type=int, default=20, help="generated requests an operation and round (20)")
    return parser.parse_args()


def main():
    words = read_words()
    seed = words.seed if words.seed is not None else seed_of_today()
    print(f"seed {seed}: `scripts/fuzz --seed {seed}` sends the same again", flush=True)
    roles, kinds = words.role or ROLES, words.database or server.DATABASES
    least = words.cases // (len(roles) * len(kinds)) + 1
    found = total = 0
    for kind in kinds:
        with server.served(kind) as (address, environ):
            for role in roles:
                outcomes = list(rounds(address, environ, role=role, seed=seed, least=least, examples=words.examples))
                total += sum(outcome.cases for outcome in outcomes)
                found += any(outcome.code for outcome in outcomes)
        print(*server.LOGGED, sep="\n", flush=True)
    print(f"{total} cases, seed {seed}: {found or 'no'} runs of {len(roles) * len(kinds)} found something")
    return 1 if found else 0


def rounds(address, environ, *, role, seed, least, examples):
    """Repeat a run with the seeds that follow, until there were enough cases or it finds something."""
    sent = 0
    while sent < least:
        begun = time.monotonic()
        outcome = run(address, environ, role=role, seed=seed, examples=examples, phases=PHASES)
        took = time.monotonic() - begun
        kind, word = environ["DATABASE_URL"].partition(":")[0], "something" if outcome.code else "nothing"
        print(f"{role} on {kind}, seed {seed}: {outcome.cases} cases, {took:.0f} s, {word} found", flush=True)
        yield outcome
        if outcome.code or not outcome.cases:
            print(outcome.text, flush=True)
            return
        sent, seed = sent + outcome.cases, seed + 1


if __name__ == "__main__":
    sys.exit(main())
