"""The rules of the house that no linter knows."""

import ast
import configparser
import importlib
import re
from pathlib import Path

import pytest

from delivery.notifications.states import Channel
from delivery.subscriptions import COMPOSERS

PACKAGE = Path("delivery")
SOURCES = sorted(PACKAGE.rglob("*.py"))


def occurrences(pattern, *, but):
    return [
        f"{path}:{number}"
        for path in SOURCES
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if re.search(pattern, line) and path.name not in but
    ]


def test_one_place_commits():
    assert occurrences(r"\.commit\(\)", but={"database.py"}) == []


def test_one_place_reads_the_clock():
    assert occurrences(r"datetime\.(now|utcnow|today)\(|time\.time\(", but={"clock.py"}) == []


def test_nothing_is_left_for_later():
    assert occurrences(r"\b(TODO|FIXME|XXX|HACK|NotImplementedError)\b", but=set()) == []


def test_production_code_does_not_know_that_it_is_tested():
    assert occurrences(r"\bif .*\btesting\b|PYTEST", but=set()) == []


def test_the_package_never_imports_its_configuration():
    assert occurrences(r"^\s*(from|import) config\b", but=set()) == []


def swallows_everything(handler):
    names = (
        {node.id for node in ast.walk(handler.type) if isinstance(node, ast.Name)} if handler.type else {"Exception"}
    )
    reraises = isinstance(handler.body[-1], ast.Raise) and handler.body[-1].exc is None
    return bool(names & {"Exception", "BaseException"}) and not reraises


def test_jobs_and_the_edges_of_processes_alone_catch_everything():
    allowed = re.compile(r"(jobs|wording|problems|doctor|supervisor|system|worker|cron)\.py")
    broad = [
        f"{path}:{node.lineno}"
        for path in SOURCES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ExceptHandler) and swallows_everything(node) and not allowed.search(path.name)
    ]
    assert broad == []


@pytest.mark.parametrize("path", SOURCES, ids=str)
def test_every_module_says_what_it_owns(path):
    assert ast.get_docstring(ast.parse(path.read_text())), path


@pytest.mark.parametrize("path", SOURCES, ids=str)
def test_files_and_functions_stay_small(path):
    source = path.read_text()
    assert source.count("\n") <= 300
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef):
            assert node.end_lineno - node.lineno <= 40, f"{path}: {node.name}"


def views(app):
    for rule in app.url_map.iter_rules():
        if not rule.endpoint.startswith(("docs.", "static")) and not rule.endpoint.endswith(".static"):
            yield rule.endpoint, app.view_functions[rule.endpoint]


def test_every_route_says_what_it_does_and_who_may(app):
    for endpoint, view in views(app):
        assert (view.__doc__ or "").strip(), endpoint
        assert getattr(view, "access", None) in {"signed_in", "public"}, endpoint


def test_services_have_docstrings():
    for path in PACKAGE.rglob("services.py"):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
                assert ast.get_docstring(node), f"{path}: {node.name}"


def test_every_fact_has_a_row_in_the_table(app):
    facts = {
        node.name
        for path in PACKAGE.rglob("events.py")
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
    }
    assert {fact.__name__ for fact in app.extensions["delivery.reactions"]} == facts


def test_every_message_has_words_and_somebody_who_addresses_it(app):
    folder = PACKAGE / "notifications" / "templates" / "en"
    for template in COMPOSERS.keys() - {"webhook"}:  # its words are frozen when it is written
        assert list(folder.glob(f"{template}.{Channel.MAIL}*")), template


def test_every_setting_that_is_read_exists(app):
    read = {
        name
        for path in SOURCES
        for name in re.findall(r"(?:current_app|app)\.config\[['\"]([A-Z_]+)['\"]\]", path.read_text())
    }
    assert read - set(app.config) == set()


def test_each_file_of_rules_counts_for_coverage():
    """One that nobody imports would be missing from the report, and so be no gap in it."""
    patterns = configparser.ConfigParser()
    patterns.read("setup.cfg")
    rules = [path for pattern in patterns["coverage:run"]["include"].split() for path in Path().glob(pattern)]
    assert {"services.py", "states.py", "access.py"} <= {path.name for path in rules}
    for path in rules:
        importlib.import_module(".".join(path.with_suffix("").parts))
