# ruff: noqa: INP001  a script, not a package
"""Makes .venv hold what a lock file says: `python scripts/venv.py requirements.txt`, quick when it does already.

Standard library only: it runs before anything is installed. Whoever comes second waits for the first; an interrupted
installation is started anew, because the stamp is written last.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
# Not sys.executable: the environment that we are about to remove may be the one that runs us.
BASE_PYTHON = Path(sys.base_prefix) / "bin" / "python{}.{}".format(*sys.version_info)
# What each lock file brings: the developers' one holds everything of the other.
LOCKS = {"requirements.txt": ["requirements.txt"], "requirements-dev.txt": ["requirements-dev.txt", "requirements.txt"]}


def main(lock: str) -> int:
    """Bring .venv up to date; the exit code."""
    if is_current(lock):
        return 0
    folder = os.open(ROOT, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)  # freed with the descriptor, however we end
        return 0 if is_current(lock) else install(lock)
    finally:
        os.close(folder)


def is_current(lock: str) -> bool:
    """Whether that lock file was installed to its end."""
    path = stamp(lock)
    return path.exists() and path.read_text() == checksum(lock)


def install(lock: str) -> int:
    """Install from the lock file, into a new environment unless the old one was finished."""
    say(f"Installing {lock} into .venv with Python {sys.version.split()[0]}: about a minute ...")
    began = time.monotonic()
    if not any(stamp(name).exists() for name in LOCKS) or not works():
        shutil.rmtree(VENV, ignore_errors=True)
    for name in LOCKS:
        stamp(name).unlink(missing_ok=True)
    commands = [
        *([] if PYTHON.exists() else [[str(BASE_PYTHON), "-m", "venv", str(VENV)]]),
        # Byte code is made at the first import, of the modules that are imported: a third faster.
        [str(PYTHON), "-m", "pip", "install", "--require-hashes", "--no-compile", "--no-input", "-r", str(ROOT / lock)],
    ]
    for command in commands:
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603  our own commands
        if done.returncode:
            say(f"{done.stdout}{done.stderr}\nThe installation failed; its output stands above.")
            return 1
    for name in LOCKS[lock]:
        stamp(name).write_text(checksum(name))
    say(f"Installed in {time.monotonic() - began:.0f} s.")
    return 0


def works() -> bool:
    """Whether the environment's Python runs: it does not once the one it was made from is gone."""
    return PYTHON.exists() and subprocess.run([PYTHON, "-c", ""], capture_output=True, check=False).returncode == 0  # noqa: S603


def stamp(lock: str) -> Path:
    return VENV / f".installed-{lock}"


def checksum(lock: str) -> str:
    return hashlib.sha256((ROOT / lock).read_bytes()).hexdigest()


def say(line: str) -> None:
    sys.stderr.write(f"{line}\n")


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1]))
    except KeyboardInterrupt:
        sys.exit(130)
