"""What the scripts ask of a machine, and what they say when they do not get it."""

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

ROOT = Path(__file__).parents[2]
WORKING = f"""#!/bin/bash
case "$*" in
  *version_info*) echo {{version}} ;;
  *ensurepip*) exit {{venv}} ;;
  *) exec {sys.executable} "$@" ;;
esac
"""
SHIM = "#!/bin/bash\necho 'pyenv: python3: command not found' >&2\nexit 127\n"


@pytest.fixture
def find_python(tmp_path):
    """Call it with Pythons by name and script: (exit code, stdout, stderr) of the search on a machine with these."""

    def find(**pythons):
        for tool in ("bash", "dirname"):
            (tmp_path / tool).symlink_to(shutil.which(tool))
        for name, script in pythons.items():
            path = tmp_path / name.replace("_", ".")
            path.write_text(script)
            path.chmod(0o755)
        command = ["bash", "-c", f". {ROOT}/scripts/venv.sh; find_python"]
        done = subprocess.run(command, env={"PATH": str(tmp_path)}, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout.strip(), done.stderr.strip()

    return find


def python(version, *, venv=0):
    return WORKING.format(version=version, venv=venv)


def test_a_shim_and_an_old_python_are_passed_over(find_python):
    code, found, complaint = find_python(python3=SHIM, python3_13=python("3.8"), python3_12=python("3.12"))
    assert (code, complaint) == (0, "")
    assert found


@pytest.mark.parametrize(
    ("pythons", "found"),
    [
        ({}, "none"),
        ({"python3": SHIM}, "none"),
        ({"python3": python("3.9")}, "3.9"),
        ({"python3": python("3.14"), "python3_11": SHIM}, "3.14"),
        ({"python3": python("3.12", venv=1)}, "3.12 (without the venv module: install python3-venv)"),
    ],
)
def test_without_a_fitting_python_there_is_one_clear_line(find_python, pythons, found):
    assert find_python(**pythons) == (1, "", f"Python 3.11, 3.12 or 3.13 is needed; found: {found}.")


@pytest.mark.parametrize(("given", "taken"), [("data", "{here}/data"), ("/srv/data", "/srv/data")])
def test_a_relative_data_dir_is_meant_from_where_the_command_was_typed(tmp_path, given, taken):
    command = ["bash", "-c", f'. {ROOT}/scripts/venv.sh; echo "$DATA_DIR"; pwd']
    done = subprocess.run(
        command, env=os.environ | {"DATA_DIR": given}, cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == [taken.format(here=tmp_path), str(ROOT)]


@pytest.fixture
def project(tmp_path):
    """A project of which nothing but the script and a lock file without packages exists."""
    (tmp_path / "scripts").mkdir()
    shutil.copy(ROOT / "scripts" / "venv.py", tmp_path / "scripts")
    (tmp_path / "requirements.txt").write_text("# nothing\n")
    return tmp_path


def test_of_two_at_once_one_installs_and_both_may_go_on(project):
    command = [sys.executable, project / "scripts" / "venv.py", "requirements.txt"]
    both = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    said = "".join(process.communicate(timeout=50)[1] for process in both)
    assert [process.returncode for process in both] == [0, 0]
    assert said.count("Installing requirements.txt into .venv") == 1
    assert subprocess.run(command, capture_output=True, check=True).stderr == b""


@pytest.fixture
def venv(project, monkeypatch):
    """The script as a module, in that project; `venv.ran` has what it would run, `venv.answer` what comes of it."""
    spec = importlib.util.spec_from_file_location("venv_script", project / "scripts" / "venv.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.ran, module.answer = [], 0

    def run(command, **_):
        module.ran.append(" ".join(str(word) for word in command))
        if "-m venv" in module.ran[-1]:
            module.PYTHON.parent.mkdir(parents=True)
            module.PYTHON.touch()
        return subprocess.CompletedProcess(command, module.answer, stdout="pip's words", stderr="")

    monkeypatch.setattr(module, "subprocess", SimpleNamespace(run=run))
    return module


def test_what_is_installed_is_not_installed_again(venv):
    assert venv.main("requirements.txt") == 0
    assert [command.split(" -m ")[1].split()[0] for command in venv.ran] == ["venv", "pip"]
    assert "--require-hashes" in venv.ran[1]
    venv.ran.clear()
    assert venv.main("requirements.txt") == 0
    assert venv.ran == []


def test_a_changed_lock_file_is_installed_into_the_environment_that_there_is(venv, project):
    venv.main("requirements.txt")
    venv.ran.clear()
    (project / "requirements.txt").write_text("# something else\n")
    assert venv.main("requirements.txt") == 0
    assert not any("-m venv" in command for command in venv.ran)
    assert "-m pip install" in venv.ran[-1]


def test_what_was_not_finished_is_made_anew(venv, capsys):
    venv.main("requirements.txt")
    left_over = venv.VENV / "half of a package"
    left_over.touch()
    (venv.ROOT / "requirements.txt").write_text("# something else\n")
    venv.answer = 1
    assert venv.main("requirements.txt") == 1
    assert capsys.readouterr().err.endswith("pip's words\nThe installation failed; its output stands above.\n")
    venv.answer = 0
    assert venv.main("requirements.txt") == 0
    assert not left_over.exists()


def test_the_developers_environment_is_good_for_running_too(venv, project):
    (project / "requirements-dev.txt").write_text("# nothing either\n")
    venv.main("requirements-dev.txt")
    venv.ran.clear()
    assert venv.main("requirements.txt") == 0
    assert venv.ran == []


def test_the_developers_lock_file_holds_everything_of_the_other():
    def pins(name):
        lines = (ROOT / name).read_text().splitlines()
        return {line.rstrip(" \\") for line in lines if "==" in line and not line.startswith((" ", "#"))}

    assert pins("requirements.txt") <= pins("requirements-dev.txt")
