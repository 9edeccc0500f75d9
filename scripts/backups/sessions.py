"""A session of psql that is asked one thing after another, so that several tools see one moment."""

import os
import subprocess
from tempfile import TemporaryFile
from types import TracebackType
from typing import Self

from scripts.backups.failures import said
from scripts.backups.places import Place

_END = "--- end of the answer ---"
_WORDS = ("-X", "-A", "-t", "-q", "-w", "-v", "ON_ERROR_STOP=1")


class Session:
    """psql on a database, for as long as the block lasts."""

    def __init__(self, place: Place, database: str) -> None:
        step = place.tool("psql", *_WORDS, "-d", database)
        self._errors = TemporaryFile()  # noqa: SIM115  closed by __exit__
        self._process = subprocess.Popen(  # noqa: S603  our own words
            step.words,
            env={**os.environ, **step.env},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            process_group=0,  # Ctrl-C is for us, who clean up by it
        )

    def __enter__(self) -> Self:
        try:
            self.ask("SET statement_timeout = 0; SET lock_timeout = '10s';")
        except BaseException as error:
            self.__exit__(type(error), error, None)
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._process.kill() if kind else self._process.communicate("\\q\n")
        for stream in (self._process.stdin, self._process.stdout, self._errors):
            if stream:
                stream.close()
        self._process.wait()

    def ask(self, sql: str) -> list[str]:
        """Run statements and return what they answer, a line for each row.

        Raises:
            Failed: the server cannot be reached, or says no.
        """
        assert self._process.stdin is not None  # noqa: S101  it is a pipe
        assert self._process.stdout is not None  # noqa: S101  it is a pipe
        try:
            self._process.stdin.write(f"{sql}\n\\echo {_END}\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            pass  # what it died of is read below
        lines: list[str] = []
        for line in self._process.stdout:
            if line.rstrip("\n") == _END:
                return lines
            lines.append(line.rstrip("\n"))
        self._process.wait()
        self._errors.seek(0)
        raise said("PostgreSQL", self._errors.read().decode(errors="replace"))


def literal(text: str) -> str:
    """Return a text as SQL writes it."""
    return "'" + text.replace("'", "''") + "'"


def name(text: str) -> str:
    """Return a name as SQL writes it."""
    return '"' + text.replace('"', '""') + '"'
