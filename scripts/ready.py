# ruff: noqa: INP001  a script, not a package
"""Asks the API of this container whether it can serve, and fails when not.

Standard library only: it runs every few seconds.
"""

import os
import sys
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException


def main() -> int:
    """Ask by address, as may whoever watches; the exit code."""
    connection = HTTPConnection("127.0.0.1", int(os.environ.get("PORT") or 8000), timeout=4)
    try:
        connection.request("GET", "/readyz")
        answer = connection.getresponse()
        print(answer.status, answer.read().decode())  # noqa: T201  `docker inspect` shows it
    except (OSError, HTTPException) as error:
        print(type(error).__name__)  # noqa: T201
        return 1
    return int(answer.status != HTTPStatus.OK)


if __name__ == "__main__":
    sys.exit(main())
