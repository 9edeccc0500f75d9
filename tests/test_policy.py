"""Who may call what: every endpoint has its row, and every cell of the table is true.

A cell is who calls (each role: signed in, with a key that has just the scope, with one that has all others; and
nobody), what, and whose it is. What a cell must answer is worked out here from the row alone. A refused call changes
nothing; what another did is looked for in every table.
"""

import re
from itertools import product

import pytest
from sqlalchemy import select

from delivery.auth.states import Scope
from delivery.database import db
from delivery.policy import POLICY
from tests.auth.keys import key_of
from tests.calls import ASSIGNED, CALLS, COURIER, CUSTOMER, ELSES, NOBODY, OWN, Things, kind_of, nobody
from tests.conftest import counted
from tests.policy_table import shown, table
from tests.web.answers import problem

ROLES = (CUSTOMER, COURIER, "dispatcher", "admin")
PERSON, WITH, WITHOUT = "signed in", "a key with the scope", "a key without it"
# What is let in and still answered with an error: endpoint, role, whose -> status and code, and the reason why.
OF_ITS_OWN = {
    # Couriers see what is assigned to them, not what they own: no label of it
    ("labels.sheet", COURIER, OWN): (422, "validation_failed"),
}
# Reads that the audit log tells of.
LOGGED = {"privacy.export"}
# Let in, and told of each delivery by itself that it is not theirs to see.
TOLD_NO = {("bulk.move", COURIER)}
# Reads by POST: a list of ids is too long for an address.
READS = {"labels.sheet"}
CHANGE = re.compile(r"\s*(INSERT|UPDATE|DELETE|WITH)\b")
# Every call of a key or session may note when it was used last; that is no effect of the call.
ROWS = {
    table.name: select(*(column for column in table.c if column.name != "last_used_at"))
    for table in db.metadata.sorted_tables
}


def served(app):
    endpoints = {rule.endpoint for rule in app.url_map.iter_rules()}
    return {one for one in endpoints if not one.startswith(("docs.", "static")) and not one.endswith(".static")}


def test_every_endpoint_has_a_row_and_every_row_an_endpoint(app):
    assert set(POLICY) == served(app)


def test_every_endpoint_has_a_representative_call():
    assert set(CALLS) == set(POLICY)


def test_a_row_says_public_where_the_view_does(app):
    for endpoint, rule in POLICY.items():
        assert (app.view_functions[endpoint].access == "public") == rule.public, endpoint


def test_the_page_shows_the_table(app):
    """After a change: `python -m tests.policy_table` prints what belongs there."""
    assert shown() == table(app)


def cells(endpoint):
    """(role, credentials, whose) of all who could make a call; whose it is matters where it is about something."""
    kind = kind_of(CALLS[endpoint])
    yield None, PERSON, NOBODY if kind is None else ELSES
    for role, credentials in product(ROLES, (PERSON, WITH, WITHOUT)):
        for of in (OWN, ASSIGNED, ELSES, NOBODY) if kind else (OWN,):
            if of != ASSIGNED or (kind, role) == ("delivery", COURIER):
                yield role, credentials, of


def parts(kind, role, of):
    """What somebody is to a thing, by the rules of docs/security.md."""
    if of == NOBODY:
        return set()
    if kind == "delivery":
        sees = {("customer", OWN): {"owner"}, ("courier", ASSIGNED): {"courier"}}
        return {"dispatcher"} if role in {"dispatcher", "admin"} else sees.get((role, of), set())
    if kind == "message":
        sees = {("customer", OWN): {"owner"}}
        return {"staff"} if role in {"dispatcher", "admin"} else sees.get((role, of), set())
    if kind == "invitation":
        return {"admin"} if role == "admin" else set()
    is_self, is_admin = of == OWN, role == "admin" and kind.startswith("user")
    return ({"self"} if is_self else set()) | ({"admin"} if is_admin else set())


def expected(rule, kind, role, credentials, of):
    """The error that a row promises, as (status, code); None for who is let in."""
    if role is None:
        return None if rule.public else (401, "unauthorized")
    asked_who = not rule.public or rule.scope is not None
    if asked_who and credentials != PERSON and (rule.scope is None or credentials == WITHOUT):
        return 403, "insufficient_scope"
    if rule.roles is not None and role not in rule.roles:
        return 403, "forbidden"
    if rule.parts and not parts(kind, role, of):
        return 404, "not_found"
    if rule.parts and not parts(kind, role, of) & rule.parts:
        return 403, "forbidden"
    return None


class Stage:
    """Callers and things for the cells of one endpoint, until a call changes something."""

    def __init__(self, people, endpoint):
        self.people, self.call, self.scope = people, CALLS[endpoint], POLICY[endpoint].scope
        self.clear()

    def clear(self):
        self.persons, self.callers, self.calls = {}, {}, {}
        self.is_new = True

    def rows(self, seen):
        """All rows of all tables, as a call finds them; `seen` when nobody and nothing came in since."""
        if self.is_new:
            self.is_new, seen = False, everything(self.people.app)
        return seen

    def person(self, role):
        if role not in self.persons:
            self.is_new = True
            self.persons[role] = self.people.make(role) if role else nobody(self.people.app)
        return self.persons[role]

    def caller(self, role, credentials):
        """Somebody's view of the API, by session or by key; where no scope is enough, the key has them all."""
        if credentials == PERSON:
            return self.person(role)
        if (role, credentials) not in self.callers:
            self.is_new = True
            scopes = [self.scope] if credentials == WITH and self.scope else set(Scope) - {self.scope}
            self.callers[role, credentials] = key_of(self.person(role), *sorted(scopes))
        return self.callers[role, credentials]

    def about(self, role, of):
        whose = (role, of) if of in {OWN, ASSIGNED} else of
        if whose not in self.calls:
            self.is_new = True
            self.calls[whose] = self.call.about(Things(self.people, by=self.person(role), of=of))
        return self.calls[whose]


def everything(app):
    """All rows of all tables."""
    with app.app_context(), db.engine.connect() as connection:
        return {name: sorted(map(repr, connection.execute(rows))) for name, rows in ROWS.items()}


def refused(app, call, by, refusal):
    """Make a call that must be refused: it asks the database for no change at all, not even one that is undone."""
    with counted(app) as statements:
        response = call.send(by)
        response.close()
    problem(response, *refusal)
    assert [one for one in statements if CHANGE.match(one) and "last_used_at" not in one] == []


@pytest.mark.no_cover  # the same lines again and again
@pytest.mark.timeout(300)
@pytest.mark.parametrize("endpoint", POLICY)
def test_every_cell_of_the_table_is_true(app, people, endpoint):
    rule, kind, stage = POLICY[endpoint], kind_of(CALLS[endpoint]), Stage(people, endpoint)
    people.admin()  # one more, so that no admin is the last
    after = None
    for cell in cells(endpoint):
        role, credentials, of = cell
        by, call = stage.caller(role, credentials), stage.about(role, of)
        refusal = expected(rule, kind, *cell) or OF_ITS_OWN.get((endpoint, role, of))
        if refusal:
            refused(app, call, by, refusal)
            continue
        before = stage.rows(after)
        response = call.send(by)
        response.close()
        after = everything(app)
        assert response.status_code < 300, f"{cell}: {response.text}"
        changes_nothing = (call.method == "GET" and endpoint not in LOGGED) or endpoint in READS
        assert (after == before) == (changes_nothing or (endpoint, role) in TOLD_NO), cell
        if after != before:
            stage.clear()
