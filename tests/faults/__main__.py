"""Breaks the running system by plan and checks from outside that nothing was lost, invented, doubled or left behind.

Real gunicorn, workers, cron, Valkey and PostgreSQL or SQLite; a scripted mail server and SMS provider; clients that ask
again whenever an answer is lost. docs/reliability.md says what is promised, what is done, and how to read the figures.
"""

import argparse
import sys
from pathlib import Path

from tests.faults import campaign, plan

DATABASES = ("postgresql", "sqlite")
EXAMPLES = """examples:
  scripts/faults --seed 7 --kills 60 --database postgresql
  scripts/faults --seed 7 --only sent --kills 20
  scripts/faults --campaign --json report.json --write docs/reliability.md
  scripts/faults --planted
"""


def arguments(words=None):
    parser = argparse.ArgumentParser(
        prog="scripts/faults",
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--seed", type=int, default=1, help="the plan's; of a campaign the first (default: %(default)s)"
    )
    parser.add_argument("--kills", type=int, help="of one round (default: 60), or of the campaign (default: 500)")
    parser.add_argument("--seconds", type=float, help="of traffic in one round (default: one a kill)")
    parser.add_argument("--minutes", type=float, help="begin no further round after so long (campaign)")
    parser.add_argument("--database", choices=DATABASES, help="this one alone (default: both)")
    parser.add_argument("--only", metavar="FAULT", help="this fault alone: " + ", ".join(_all_names()))
    parser.add_argument(
        "--pace", choices=("short", "real"), default="short", help="of leases and ladders (default: %(default)s)"
    )
    parser.add_argument("--campaign", action="store_true", help="many rounds, until there were enough kills")
    parser.add_argument("--planted", action="store_true", help="plant three bugs; 0 only when each of them is caught")
    parser.add_argument("--plan", action="store_true", help="print the plan and do nothing")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the report there")
    parser.add_argument("--write", type=Path, metavar="FILE", help="put the table between the markers of this paper")
    parser.add_argument(
        "--keep", type=Path, metavar="FOLDER", help="of rounds with a breach, keep logs and record there"
    )
    args = parser.parse_args(words)
    if args.only and args.only not in _all_names():
        parser.error(f"no such fault: {args.only}")
    args.databases = (args.database,) if args.database else DATABASES
    return args


def _all_names():
    return sorted({name for database in DATABASES for name in plan.names(database)})


def main(words=None):
    """0 when every promise was kept, 1 on any breach."""
    args = arguments(words)
    if args.plan:
        return show(args)
    if args.planted:
        return int(bool(campaign.planted(say=say)))
    rounds = play_campaign(args) if args.campaign else play_rounds(args)
    told = campaign.report(rounds)
    print(campaign.table(told))
    if args.json:
        campaign.save(told, args.json)
    if args.write:
        campaign.write(told, args.write)
    breaches = [line for one in rounds for line in one["breaches"]]
    for line in breaches[: campaign.NAMED_AT_MOST]:
        print(f"breach: {line}", file=sys.stderr)
    print(f"{len(breaches)} breaches" if breaches else "no breach", file=sys.stderr)
    return int(bool(breaches))


def show(args):
    for database in args.databases:
        for blow in plan.make(args.seed, database=database, only=args.only, **size(args)):
            print(f"{database} {blow.at:7.2f} {blow.name} {blow.choice}")
    return 0


def size(args):
    kills = 60 if args.kills is None else args.kills
    return {"kills": kills, "seconds": args.seconds or max(5.0, float(kills))}


def play_campaign(args):
    kills = 500 if args.kills is None else args.kills
    return campaign.campaign(
        args.databases, kills=kills, first_seed=args.seed, say=say, minutes=args.minutes, pace=args.pace, keep=args.keep
    )


def play_rounds(args):
    rounds = []
    for database in args.databases:
        with campaign.laboratory(database, pace=args.pace) as lab:
            rounds.append(campaign.one(lab, args.seed, say=say, only=args.only, keep=args.keep, **size(args)))
        rounds[-1]["breaches"] += [f"nothing_needs_a_hand: {line}: was left behind" for line in lab.left]
    return rounds


def say(line):
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
