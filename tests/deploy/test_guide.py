"""docs/deployment.md: what it tells people to type can be typed, and names what there is.

scripts/containers really runs the part with containers.
"""

import re
import shlex
import subprocess
from pathlib import Path

import pytest

from config import Config
from delivery.app import create_app
from tests.conftest import close, settings

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "docs" / "deployment.md").read_text()
BLOCKS = re.findall(r"(?ms)^```sh\n(.*?)^```$", GUIDE)
# What a person brings along, and what earlier commands make.
BROUGHT = {"fullchain.pem", "privkey.pem", "secrets.env"}
MADE = (".env", ".venv/", "secrets/", "nginx/acme")
PROGRAMS = {
    "docker",
    "kubectl",
    "certbot",
    "git",
    "cp",
    "chmod",
    "chown",
    "createdb",
    "createuser",
    "nginx",
    "cd",
    "set",
    ".",
    "export",
    "python3",
    "install",
    "useradd",
    "systemctl",
}
# The options of our own scripts, each with its script.
OPTIONS = {("scripts/deploy.sh", "--rollback"), ("scripts/deploy.sh", "--restart")}


def commands():
    for block in BLOCKS:
        for line in block.splitlines():
            for part in re.split(r" && ", line):
                words = shlex.split(part, comments=True)
                if words:
                    as_another = 2 if words[:2] == ["sudo", "-u"] else 0
                    yield tuple(words[1 + as_another :] if words[0] == "sudo" else words)


COMMANDS = sorted(set(commands()))


def services_of(name):
    return set(re.findall(r"(?m)^  (\w+):$", (ROOT / name).read_text().split("\nservices:\n")[1]))


def flask_words(words):
    """The words behind `flask` in a command, without its options."""
    if not any(Path(word).name == "flask" for word in words):
        return None
    behind = list(words[[Path(word).name for word in words].index("flask") + 1 :])
    return behind[2:] if behind[:1] == ["--app"] else behind


@pytest.mark.parametrize("block", BLOCKS)
def test_a_shell_can_read_each_block(block):
    assert subprocess.run(["bash", "-n"], input=block, text=True, capture_output=True, check=False).stderr == ""


def paths_in(words):
    """The files of this repository, or made in it, that a command names."""
    for word in words:
        path = word.removeprefix("--from-env-file=")
        looks_like_one = "/" in path or re.search(r"\.(ya?ml|pem|env|txt)$", path)
        if looks_like_one and not path.startswith(("/", "http", "deployment/", "job/", "COMPOSE_FILE=")):
            yield path


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_each_command_names_a_program_and_files_that_there_are(words):
    program = words[0]
    assert program in PROGRAMS or program.startswith(".venv/bin/") or (ROOT / program).stat().st_mode & 0o111
    for path in paths_in(words[1:]):
        assert path in BROUGHT or path.startswith(MADE) or list(ROOT.glob(path)), path


def test_each_composition_it_names_is_there():
    for names in re.findall(r"COMPOSE_FILE=(\S+)", GUIDE):
        assert all((ROOT / name).is_file() for name in names.split(":"))


def test_each_service_it_names_is_one():
    services = services_of("docker-compose.yml") | services_of("docker-compose.dev.yml")
    for words in COMMANDS:
        if words[:2] == ("docker", "compose") and words[2] in {"exec", "logs", "restart"}:
            assert next(word for word in words[3:] if not word.startswith("-")) in services
    assert set(re.findall(r"--scale (\w+)=", GUIDE)) <= services


def test_each_option_of_our_scripts_is_one():
    told = set(re.findall(r"(scripts/[\w.]+) (--[\w-]+)", GUIDE))
    assert told == OPTIONS
    for script, option in told:
        assert option in (ROOT / script).read_text()


def test_each_command_of_ours_is_one(tmp_path):
    app = create_app(settings(tmp_path))
    found = [words for words in map(flask_words, COMMANDS) if words is not None]
    told = [line.split() for line in re.findall(r"`flask ([^`]+)`", GUIDE)]
    assert found
    assert told
    for words in [*found, *told]:
        command = app.cli
        for word in words:
            if word.startswith("-") or not hasattr(command, "commands"):
                break
            command = command.commands[word]
        known = {option for one in getattr(command, "params", []) for option in one.opts}
        assert {word for word in words if word.startswith("--")} <= known, words
    close(app)


def test_each_setting_it_names_is_one():
    named = set(re.findall(r"`([A-Z][A-Z_]{3,})(?:=[^`]*)?`", GUIDE))
    others = {"COMPOSE_FILE", "DEPLOY_SECONDS", "POST"}
    assert {name for name in named if not hasattr(Config, name)} <= others
    assert "PROXY_HOPS" in named


def test_each_unit_it_names_is_one():
    units = {path.name for path in (ROOT / "deploy" / "systemd").iterdir()}
    for words in COMMANDS:
        if words[0] == "systemctl":
            named = {word for word in words[1:] if word.startswith("delivery")}
            assert named <= units
    assert units == {name for words in COMMANDS if words[0] == "systemctl" for name in words if name in units}


def test_each_manifest_is_applied_but_the_example():
    manifests = {path.name for path in (ROOT / "deploy" / "kubernetes").glob("*.yaml")}
    applied = {
        Path(word).name for words in COMMANDS if words[0] == "kubectl" for word in words if word.endswith(".yaml")
    }
    assert applied == manifests - {"secret.example.yaml"}
