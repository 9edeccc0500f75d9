"""What ends `flask up`: a refusal, in one clear line for the person who typed it, or that person's wish."""

import click


class CannotRun(click.ClickException):
    """The system cannot start or go on; click prints the message and exits with 1."""

    def show(self, file: object = None) -> None:
        click.echo(f"flask up: {self.message}", err=True)


class StopAsked(Exception):
    """A signal came while we were still starting."""
