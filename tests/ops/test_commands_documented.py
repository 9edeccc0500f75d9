"""docs/commands.md and --help are true: every command is in both, and every example in either is one that works."""

import inspect
import re
import shlex
from pathlib import Path

import click
import pytest

from tests.commands import run

PAGE = Path("docs/commands.md").read_text()
# Flask's own and the extensions' commands have documents of their own.
OURS = "delivery."


def commands(group, words=()):
    """Every command of ours below a group: its words, and itself."""
    for name, command in sorted(group.commands.items()):
        if isinstance(command, click.Group):
            yield from commands(command, (*words, name))
        elif inspect.unwrap(command.callback).__module__.startswith(OURS):
            yield " ".join(("flask", *words, name)), command


def called(group, example):
    """The command that an example calls, and its arguments: without what the shell makes of the line."""
    words = shlex.split(re.sub(r"\s[<>|].*", "", example))
    words = words[words.index("flask") + 1 :]
    while isinstance(group, click.Group):
        group, words = group.commands[words[0]], words[1:]
    return group, words


def in_page():
    return [line.removeprefix("    $ ") for line in PAGE.splitlines() if line.startswith("    $ ")]


def in_help(command):
    text = f"{inspect.cleandoc(command.help or '')}\n{command.epilog or ''}"
    return [line.strip() for line in text.splitlines() if re.match(r"\s+([A-Z_]+=\S+ )*flask ", line)]


@pytest.fixture
def ours(app):
    return dict(commands(app.cli))


def test_all_commands_are_ours_to_document(ours):
    assert len(ours) >= 14
    assert {"flask up", "flask doctor", "flask deliveries move"} <= set(ours)


def test_every_command_stands_on_the_page_with_an_example(ours):
    table = re.findall(r"^\| `(flask [a-z -]+)` \|", PAGE, re.MULTILINE)
    headings = re.findall(r"^### (flask [a-z -]+)$", PAGE, re.MULTILINE)
    assert sorted(table) == sorted(headings) == sorted(ours)
    for name in ours:
        assert any(example.startswith(name) for example in in_page()), name


def test_every_command_has_help_with_an_example(app, ours):
    for name, command in ours.items():
        assert command.help, name
        assert command.get_short_help_str(), name
        assert in_help(command), name
        shown = run(app, *name.split()[1:], "--help")
        assert shown.exit_code == 0
        assert all(example in shown.stdout for example in in_help(command))


def test_every_option_says_what_it_does(ours):
    plain = {"count", "limit", "role", "name"}  # the name and the default say it
    for name, command in ours.items():
        for option in command.params:
            assert isinstance(option, click.Argument) or option.help or option.name in plain, f"{name} {option.name}"


def test_every_example_is_one_that_the_command_takes(app, ours):
    examples = in_page() + [example for command in ours.values() for example in in_help(command)]
    assert len(examples) > 2 * len(ours)
    for example in examples:
        command, words = called(app.cli, example)
        command.make_context(command.name, words)


def test_an_example_with_a_wrong_option_would_be_noticed(app):
    command, words = called(app.cli, "flask deliveries move X on_hold --no-such-option > file")
    with pytest.raises(click.UsageError):
        command.make_context(command.name, words)


def test_the_doctor_of_the_page_has_the_parts_of_the_real_one(app):
    page = PAGE.partition("$ flask doctor\n")[2].partition("\n\n")[0]
    parts = [line.strip()[6:20].strip() for line in page.splitlines()]
    assert parts == [line[6:20].strip() for line in run(app, "doctor").stdout.splitlines()]
