# ruff: noqa: INP001  a script, not a package
"""Asks the API of this container whether it can serve, and fails when not.

Standard library only: it runs every few seconds.
"""

import os
import sys
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException


def main() -> int:
    """Ask as a client would, for the API answers to its own names alone; the exit code."""
    name = (os.environ.get("TRUSTED_HOSTS") or "localhost").split(",")[0].strip().removeprefix(".")
    connection = HTTPConnection("127.0.0.1", int(os.environ.get("PORT") or 8000), timeout=4)
    try:
        connection.request("GET", "/readyz", headers={"Host": name})
        answer = connection.getresponse()
        print(answer.status, answer.read().decode())  # noqa: T201  `docker inspect` shows it
    except (OSError, HTTPException) as error:
        print(type(error).__name__)  # noqa: T201
        return 1
    return int(answer.status != HTTPStatus.OK)


if __name__ == "__main__":
    sys.exit(main())
