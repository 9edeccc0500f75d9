"""Write docs/openapi.json anew: `python -m tests.openapi.write`; at a release, with `--release`.

`released.json` is the document of the last release; test_changes.py names what breaks its clients.
"""

import sys
import tempfile
from pathlib import Path

from config import Config
from delivery.app import create_app
from delivery.ops.openapi import document

COMMITTED = Path("docs/openapi.json")
RELEASED = Path("tests/openapi/released.json")


def current():
    with tempfile.TemporaryDirectory() as folder:
        return document(create_app(Config({"DATA_DIR": folder, "ENVIRONMENT": "development"}))) + b"\n"


if __name__ == "__main__":
    written = current()
    for path in (COMMITTED, RELEASED) if "--release" in sys.argv else (COMMITTED,):
        path.write_bytes(written)
