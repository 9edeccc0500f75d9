"""Prints the table of docs/security.md, "Who may do what": `python -m tests.policy_table`."""

import re
import tempfile
from pathlib import Path

from config import Config
from delivery.app import create_app
from delivery.policy import POLICY
from delivery.users.states import Role
from delivery.web.rules import BOTH, TESTS

# A live key is the usual case.
_MODES = {BOTH: ", or a test key's", TESTS: ", a test key's only"}
PAGE, HEADING = Path("docs/security.md"), "## Who may do what\n"
_PARTS = {
    "self": "whose it is",
    "owner": "its owner, a customer",
    "courier": "the courier it is assigned to",
    "dispatcher": "dispatchers, admins",
    "admin": "admins",
}


def table(app):
    """The policy as people read it: a row for each call."""
    return "| Call | Who | API key |\n|---|---|---|\n" + "".join(_rows(app))


def shown():
    """The table as it stands on the page."""
    section = PAGE.read_text().partition(HEADING)[2].partition("\n## ")[0]
    return "".join(f"{line}\n" for line in section.splitlines() if line.startswith("|"))


def _rows(app):
    for endpoint, rule in POLICY.items():
        [route] = app.url_map.iter_rules(endpoint)
        [method] = route.methods - {"HEAD", "OPTIONS"}
        path = re.sub(r"<uuid:\w+>", "{id}", route.rule)
        yield f"| `{method} {path}` | {_who(rule)} | {_key(rule)} |\n"


def _who(rule):
    if rule.operators:
        return "whoever has `METRICS_TOKEN`; without one set, this machine"
    if rule.public:
        return "everybody"
    if rule.roles is not None:
        return ", ".join(f"{role}s" for role in Role if role in rule.roles)
    return ", ".join(words for part, words in _PARTS.items() if part in rule.parts) or "whoever is signed in"


def _key(rule):
    if rule.scope:
        return f"`{rule.scope}`{_MODES.get(rule.modes, '')}"
    return "needs none" if rule.public else "no"


def _main():
    with tempfile.TemporaryDirectory() as folder:
        app = create_app(Config(environ={"DATA_DIR": folder, "ENVIRONMENT": "development"}))
        print(table(app), end="")  # noqa: T201  # that is what it is for


if __name__ == "__main__":
    _main()
