"""scripts/deploy.sh where it cannot begin: it says why in a line, and by its exit code that nothing was tried.

`scripts/containers deploy` tries what it does with a real engine.
"""

import os
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "deploy.sh"
READABLE = "compose\\ config) echo name: delivery ;;"


@pytest.fixture
def deploy(tmp_path):
    """Call with arguments and with what the engine does; (exit code, output, lines of errors)."""

    def call(*arguments, engine=""):
        docker = tmp_path / "docker"
        docker.write_text(f'#!/bin/bash\ncase "$*" in\n{engine}\n*) echo "unexpected: $*" >&2; exit 9 ;;\nesac\n')
        docker.chmod(0o755)
        environ = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "COMPOSE_FILE": "one.yml"}
        done = subprocess.run([SCRIPT, *arguments], env=environ, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout, done.stderr.splitlines()

    return call


def test_a_composition_that_cannot_be_read_is_told_in_a_line(deploy):
    engine = "compose\\ config) echo a warning; echo 'env file .env.prod not found' >&2; exit 14 ;;"
    assert deploy(engine=engine) == (2, "", ["deploy: compose cannot read one.yml: env file .env.prod not found"])


def test_an_engine_that_does_not_answer_is_told(deploy):
    code, _, lines = deploy(engine=f"{READABLE}\nps*) echo 'Cannot connect' >&2; exit 1 ;;")
    assert (code, lines) == (2, ["Cannot connect", "deploy: Docker does not say what runs"])


def test_nothing_to_replace_is_told(deploy):
    code, _, lines = deploy(engine=f"{READABLE}\nps*) ;;")
    assert (code, lines) == (2, ["deploy: nothing runs yet: docker compose up --detach --wait"])


def test_an_image_of_another_name_is_told(deploy):
    engine = f"{READABLE}\nps*) echo 0a1b ;;\ninspect*) echo sha256:1 ;;\ntag*|compose\\ build*) ;;\nimage*) exit 1 ;;"
    code, _, [line] = deploy(engine=engine)
    assert code == 1
    assert line.startswith("deploy: compose has built no delivery:latest")


def test_whatever_else_fails_names_its_line(deploy):
    code, _, lines = deploy(engine=f"{READABLE}\nps*) echo 0a1b ;;\ninspect*) echo sha256:1 ;;\ntag*) exit 1 ;;")
    assert code == 1
    assert [line.startswith("deploy: line ") for line in lines] == [True]


@pytest.mark.parametrize("words", [("--roll-back",), ("--restart", "--rollback")])
def test_wrong_words_try_nothing(deploy, words):
    code, said, [line] = deploy(*words)
    assert (code, said) == (2, "")
    assert line.startswith("deploy: ")


@pytest.mark.parametrize("word", ["-h", "--help"])
def test_help_tells_each_way_and_each_exit_code(deploy, word):
    code, said, lines = deploy(word)
    assert (code, lines) == (0, [])
    assert {"--restart", "--rollback", "DEPLOY_SECONDS", "COMPOSE_FILE"} <= set(said.replace(",", " ").split())
    assert all(f"{code} " in said.partition("Exit code:")[2] for code in range(4))
    assert "set -euo" not in said
