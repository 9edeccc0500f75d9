"""One run of Schemathesis against one server, in one role, and what it says of itself."""

import os
import re
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from delivery.ops.leash import leashed
from tests.servers.system import ROOT

FUZZ = Path(__file__).parent
ROLES = ("customer", "courier", "dispatcher", "admin", "api_key", "nobody")


@dataclass(frozen=True)
class Outcome:
    """How a run ended: its exit code, how many cases it sent, and all that it said."""

    code: int
    cases: int
    text: str


def run(address, environ, *, role, seed, examples, phases, more=()):
    """Send generated requests to a server as somebody; its exit code is 0 when nothing was found."""
    words = ["--config-file", str(FUZZ / "schemathesis.toml"), "run", f"{address}/openapi.json"]
    words += ["--seed", str(seed), "--max-examples", str(examples), "--phases", phases, "--checks", "all"]
    words += ["--continue-on-failure", "--no-color", "--suppress-health-check", "all", *more]
    own = {"FUZZ_ROLE": role, "FUZZ_SEED": str(seed), "SCHEMATHESIS_HOOKS": "tests.fuzz.hooks"}
    process = subprocess.run(
        leashed([sys.executable, "-m", "schemathesis.cli", *words], signal=signal.SIGTERM),
        cwd=ROOT,
        env={**environ, **own, "COLUMNS": "140"},
        capture_output=True,
        text=True,
        check=False,
    )
    text = process.stdout + process.stderr
    found = re.search(r"(\d[\d,]*) generated", text)
    return Outcome(process.returncode, int(found[1].replace(",", "")) if found else 0, text)


def seed_of_today():
    return int.from_bytes(os.urandom(4), "big")
