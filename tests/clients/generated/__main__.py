"""`scripts/try-clients`: public generators make clients of our document, which compile and work against the live app.

For each: the document is fetched from the app, a client generated, checked by its language's strictest checker, and
used to sign in, create, list and move. Our own client is installed by pip beside them, for the Python that
OLDEST_PYTHON names. It needs network, node 20 and npm; all that is fetched and made lies in build/try-clients.
"""

import os
import shutil
import subprocess
import sys
import urllib.request
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.servers.system import RunningSystem

ROOT = Path(__file__).parents[3]
SOURCES = Path(__file__).parent
BUILT = ROOT / "build" / "try-clients"


def run(*command, folder, **environ):
    """Run a command, whose output is for whoever looks on; its failure ends everything."""
    print("+", *command, flush=True)
    subprocess.run([str(word) for word in command], cwd=folder, env=os.environ | environ, check=True)


def fresh(name):
    """A folder with our sources of one client, keeping what was installed there before."""
    folder = BUILT / name
    folder.mkdir(parents=True, exist_ok=True)
    for source in SOURCES.iterdir():
        if source.is_file():
            shutil.copy(source, folder)
    return folder


def environment(folder, *wanted, python=sys.executable):
    """The programs of a virtual environment of its own."""
    run(python, "-m", "venv", ".venv", folder=folder)
    run(folder / ".venv/bin/pip", "install", "--quiet", "--disable-pip-version-check", *wanted, folder=folder)
    return folder / ".venv" / "bin"


def ours(_document, **app):
    """Install our own client; OLDEST_PYTHON names a Python 3.10, where there is one."""
    folder = fresh("ours")
    shutil.copytree(ROOT / "clients" / "python", folder / "source", dirs_exist_ok=True)
    programs = environment(folder, "./source", python=os.environ.get("OLDEST_PYTHON", sys.executable))
    run(programs / "python", "--version", folder=folder)
    run(programs / "python", "ours.py", folder=folder, **app)


def python(document, **app):
    """Generate a client by openapi-python-client; a warning is a failure."""
    folder = fresh("python")
    programs = environment(folder, "-r", "requirements.txt")
    shutil.rmtree(folder / "generated", ignore_errors=True)
    options = ("--meta", "none", "--config", "python.yml", "--output-path", "generated", "--fail-on-warning")
    run(programs / "openapi-python-client", "generate", "--path", document, *options, folder=folder)
    run(programs / "mypy", "--config-file=", "--strict", "generated", "journey.py", folder=folder)
    run(programs / "python", "journey.py", folder=folder, **app)


def typescript(document, **app):
    """Generate types by openapi-typescript, and call by openapi-fetch."""
    folder = fresh("typescript")
    run("npm", "install", "--silent", "--no-audit", "--no-fund", "--no-package-lock", folder=folder)
    # A field that has a default may be left out.
    options = ("--default-non-nullable", "false", "-o", "generated.d.ts")
    run("node_modules/.bin/openapi-typescript", document, *options, folder=folder)
    run("node_modules/.bin/tsc", "--project", ".", folder=folder)
    run("node", "built/journey.js", folder=folder, **app)


CLIENTS = {client.__name__: client for client in (ours, python, typescript)}


def main(names):
    with TemporaryDirectory() as folder:
        system = RunningSystem(folder)
        try:
            system.wait_until_ready()
            url = f"http://127.0.0.1:{system.port}"
            BUILT.mkdir(parents=True, exist_ok=True)
            document = BUILT / "openapi.json"
            with urllib.request.urlopen(f"{url}/openapi.json") as answer:
                document.write_bytes(answer.read())
            for name in names or CLIENTS:
                CLIENTS[name](document, DELIVERY_URL=url, DELIVERY_PASSWORD=system.admin_password)
                print("ok", name, flush=True)
        finally:
            system.stop()


if __name__ == "__main__":
    if unknown := set(sys.argv[1:]) - CLIENTS.keys():
        sys.exit(f"There is no {', '.join(sorted(unknown))}; there are {', '.join(CLIENTS)}.")
    main(sys.argv[1:])
