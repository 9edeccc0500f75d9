"""No migration does what the release before cannot stand, or what holds a lock for as long as a table is large."""

import ast
import re
from pathlib import Path

import pytest

VERSIONS = sorted(Path("migrations/versions").glob("*.py"))
# What was written before the first release: there was nobody who had to go on serving, and no table with rows.
UNRELEASED = "before the first release"
ALLOWED = {
    "a3c7e5190b42": UNRELEASED,
    "c41f8be2d706": UNRELEASED,
    "c4f82b6d1e73": UNRELEASED,
    "e6f19c83a4d2": UNRELEASED,
}
# By `flask partitions`: PostgreSQL makes no index concurrently on a table that is split.
SPLIT = {"delivery_events", "outbox_messages"}
CONTRACTING = {"drop_column", "drop_table", "rename_table", "drop_constraint"}
CONSTRAINING = {"create_check_constraint", "create_foreign_key", "create_unique_constraint", "create_primary_key"}
REWRITING = re.compile(
    r"\b(UPDATE\s+\w+\s+SET|DELETE\s+FROM|TRUNCATE\s+\w|LOCK\s+TABLE|ALTER\s+TABLE|VACUUM)\b", re.IGNORECASE
)


def findings(source):
    """What a migration must not do, in words; `down` may do what it likes."""
    tree = ast.parse(source)
    tree.body = [one for one in tree.body if not (isinstance(one, ast.FunctionDef) and one.name == "downgrade")]
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)]
    new = {_text(call.args[0]) for call in calls if call.func.attr == "create_table"}
    return sorted({said for call in calls for said in _of_call(call, new)})


def _of_call(call, new):
    name, options = call.func.attr, {word.arg: word.value for word in call.keywords}
    if name in CONTRACTING:
        yield f"{name}: the release before still uses it; contract a release later"
    if name in CONSTRAINING and _table(call) not in new:
        yield f"{name}: reads the whole table under its lock; add it NOT VALID, then validate"
    if name == "alter_column" and {"type_", "new_column_name", "nullable"} & options.keys():
        yield "alter_column: rewrites or renames; add a column beside it"
    if name == "create_index" and _text(call.args[1]) not in new and "postgresql_concurrently" not in options:
        yield "create_index: locks writers out; postgresql_concurrently=True in an autocommit_block()"
    if name == "create_index" and _text(call.args[1]) in SPLIT - new and _is_always(options):
        yield "create_index: this table may be split; as docs/migrations.md says"
    if name == "add_column" and _table(call, 0) not in new:
        yield from _of_column(call.args[-1])
    if name in {"execute", "text"} and call.args and REWRITING.search(ast.unparse(call.args[0])):
        yield "execute: rewrites rows or takes a lock; in batches, by a command"


def _is_always(options):
    """Whether an index is made concurrently, whatever the table is."""
    return _text(options.get("postgresql_concurrently", ast.Constant(False))) == "True"


def _of_column(column):
    options = {word.arg: word.value for word in getattr(column, "keywords", ())}
    not_null = "nullable" in options and _text(options["nullable"]) == "False"
    if not_null and "server_default" not in options:
        yield "add_column: NOT NULL without a default; the release before does not write it"


def _table(call, place=1):
    return _text(call.args[place]) if len(call.args) > place else ""


def _text(node):
    return str(node.value) if isinstance(node, ast.Constant) else ast.unparse(node)


def revision(path):
    return re.search(r'^revision = "(\w+)"', path.read_text(), re.MULTILINE)[1]


@pytest.mark.parametrize("path", VERSIONS, ids=lambda path: path.stem)
def test_a_migration_can_run_while_the_release_before_serves(path):
    found = findings(path.read_text())
    assert found == [] or revision(path) in ALLOWED, found


def test_nothing_is_allowed_that_needs_no_leave():
    needed = {revision(path) for path in VERSIONS if findings(path.read_text())}
    assert needed == ALLOWED.keys()


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ('op.add_column("users", sa.Column("x", sa.Text(), nullable=False))', "add_column"),
        ('op.create_index("ix", "users", ["x"])', "create_index"),
        ('op.create_index("ix", "users", ["x"], unique=True)', "create_index"),
        ('op.create_index("ix", "outbox_messages", ["x"], postgresql_concurrently=True)', "create_index"),
        ('op.alter_column("users", "x", type_=sa.BigInteger())', "alter_column"),
        ('op.alter_column("users", "x", new_column_name="y")', "alter_column"),
        ('op.alter_column("users", "x", nullable=False)', "alter_column"),
        ('op.drop_column("users", "x")', "drop_column"),
        ('op.drop_table("users")', "drop_table"),
        ('op.rename_table("users", "people")', "rename_table"),
        ('op.create_check_constraint("ck", "users", "x > 0")', "create_check_constraint"),
        ('op.create_foreign_key("fk", "users", "tags", ["x"], ["id"])', "create_foreign_key"),
        ('op.execute("UPDATE users SET x = 1")', "execute"),
        ('op.execute(sa.text("alter table users add x int"))', "execute"),
        ('batch.drop_column("x")', "drop_column"),
    ],
    ids=str,
)
def test_each_of_these_is_found(line, says):
    (found,) = findings(f"def upgrade():\n    {line}\ndef downgrade():\n    op.drop_table('y')\n")
    assert found.startswith(says)


@pytest.mark.parametrize(
    "line",
    [
        'op.add_column("users", sa.Column("x", sa.Text(), nullable=True))',
        'op.add_column("users", sa.Column("x", sa.Integer(), nullable=False, server_default="0"))',
        'op.create_index("ix", "users", ["x"], postgresql_concurrently=True)',
        'op.create_index("ix", "outbox_messages", ["x"], postgresql_concurrently=not parts)',
        'op.create_table("t", sa.Column("x", sa.Text(), nullable=False)); op.create_index("ix", "t", ["x"])',
        'op.execute("SELECT 1")',
    ],
    ids=str,
)
def test_what_only_adds_is_not(line):
    assert findings(f"def upgrade():\n    {line}\n") == []
