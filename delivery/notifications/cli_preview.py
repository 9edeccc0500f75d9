"""The command `flask notifications preview`: what messages will look like, without a database and without sending."""

from pathlib import Path

import click
from flask import current_app
from flask.cli import with_appcontext
from jinja2 import TemplateNotFound

from delivery.cli import examples, print_table
from delivery.notifications import rendering, samples
from delivery.notifications.channels import Letter, mime
from delivery.notifications.proofreading import mistakes
from delivery.notifications.rendering import BROKEN, Wording, Words
from delivery.notifications.states import Channel

_ADDRESS, _MESSAGE_ID = "grace@home.example", "preview@localhost"


@click.command(
    epilog=examples(
        "flask notifications preview created --locale de",
        "flask notifications preview delivered --channel sms",
        "flask notifications preview lost --audience sender --format html --output lost.html",
        "flask notifications preview --all",
    )
)
@click.argument("template", type=click.Choice(sorted(samples.SAMPLES)), required=False)
@click.option("--locale", help="The reader's language, such as de or pt-BR.")
@click.option(
    "--channel",
    type=click.Choice([Channel.MAIL.value, Channel.SMS.value]),
    default="mail",
    show_default=True,
    help="How it is sent.",
)
@click.option(
    "--audience", type=click.Choice(samples.AUDIENCES), default="recipient", show_default=True, help="Who reads it."
)
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "html", "eml"]),
    default="text",
    show_default=True,
    help="Its text, its page, or a file for a mail program.",
)
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path), help="Write to this file.")
@click.option("--list", "listing", is_flag=True, help="List the templates and the locales that have them.")
@click.option("--all", "everything", is_flag=True, help="Check every template in every locale, and print none.")
@with_appcontext
def preview(
    *,
    template: str | None,
    locale: str | None,
    channel: str,
    audience: str,
    form: str,
    output: Path | None,
    listing: bool,
    everything: bool,
) -> None:
    """Show a message with sample data: words, templates and company as they are, the rest made up.

    Exit code 0 when it can be sent so, 1 when a template is broken, 2 when there is no such message.
    """
    wording = rendering.wording()
    _warn_of_folder(wording)
    if everything:
        _check(wording)
    elif listing:
        _list(wording)
    elif template is None:
        raise click.UsageError("Name a TEMPLATE, or give --list or --all.")
    elif channel == Channel.SMS and form != "text":
        raise click.UsageError("A text message has no other --format than text.")
    else:
        _show(_shaped(_words(wording, template, channel, locale, audience), form), output)


def _warn_of_folder(wording: Wording) -> None:
    if wording.theirs and not wording.theirs.folders[0].is_dir():
        click.echo(f"TEMPLATES_FOLDER: {wording.theirs.folders[0]} is no folder; the built-in ones are used.", err=True)


def _check(wording: Wording) -> None:
    found = mistakes(wording)
    for mistake in found:
        click.echo(f"{mistake.file}: {mistake.what}")
    if found:
        raise click.ClickException(f"{len(found)} mistakes; where they matter, the built-in templates are sent.")
    click.echo("Every template can be sent in every locale.")


def _list(wording: Wording) -> None:
    shelf = wording.theirs or wording.ours
    names = {locale: shelf.names(locale) for locale in shelf.locales.values()}
    rows = [
        {"template": template, "channel": channel, "locales": " ".join(having)}
        for template in sorted(samples.SAMPLES)
        for channel in (Channel.MAIL, Channel.SMS)
        if (having := [locale for locale, there in names.items() if f"{template}.{channel}" in there])
    ]
    print_table(rows, empty="There are no templates.")


def _words(wording: Wording, template: str, channel: str, locale: str | None, audience: str) -> Words:
    shelf = wording.theirs or wording.ours
    context = {**samples.SAMPLES[template], "company": current_app.config["COMPANY_NAME"]}
    context |= {"time_zone": wording.time_zone} | ({"audience": audience} if "audience" in context else {})
    try:
        found = shelf.find(template, channel, locale)
        if locale and found.locale.lower() != locale.lower():
            click.echo(f"There is no {locale}; readers get {found.locale}.", err=True)
        return rendering.words(shelf, template, channel, locale, context)
    except TemplateNotFound as error:
        if f"{template}.{channel}" in str(error):
            raise click.UsageError(f"{template} is not sent by {channel}; --list shows what is.") from error
        raise click.ClickException(f"{template}.{channel} needs {error}, which is not there.") from error
    except BROKEN as error:
        raise click.ClickException(f"{template}.{channel} cannot be used: {error}") from error


def _shaped(words: Words, form: str) -> bytes:
    if form == "html":
        return words.html.encode() + b"\n"
    if form == "eml":
        letter = Letter(_ADDRESS, words.text, words.subject, words.html)
        return mime.content(letter, message_id=_MESSAGE_ID, sender=current_app.config["MAIL_FROM"])
    head = f"Subject: {words.subject}\n\n" if words.subject else ""
    return f"{head}{words.text.rstrip()}\n".encode()


def _show(content: bytes, output: Path | None) -> None:
    if output is None:
        click.echo(content, nl=False)
        return
    try:
        output.write_bytes(content)
    except OSError as error:
        raise click.ClickException(f"{output}: {error.strerror}") from error
