"""What the app gave the outbox: who words a message, and which provider carries each channel."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from flask import Config, Flask, current_app

from delivery.notifications.channels import Letter, Suppress, Transport
from delivery.notifications.channels.console import ConsoleTransport
from delivery.notifications.held import ClaimedMessage
from delivery.notifications.states import Channel

# Run when a message is sent, outside any transaction: looks up the address and the facts, mints links.
Composer = Callable[[ClaimedMessage], Letter | Suppress]
_KEY = "delivery.notifications"


@dataclass(frozen=True)
class Registry:
    composers: Mapping[str, Composer]
    transports: Mapping[Channel, Transport]


def init_app(
    app: Flask, composers: Mapping[str, Composer], *, transports: Mapping[Channel, Transport] | None = None
) -> None:
    """Give the app its composers, by template, and its transports: those that the settings name, or the given ones."""
    chosen = {Channel.MAIL: _mail(app.config), Channel.SMS: _sms(app.config)} if transports is None else transports
    app.extensions[_KEY] = Registry(composers, chosen)


def composer(template: str) -> Composer:
    """Return the function that words this template.

    Raises:
        KeyError: there is none.
    """
    return _registry().composers[template]


def transport(channel: str) -> Transport:
    """Return the provider of a channel."""
    return _registry().transports[Channel(channel)]


def _registry() -> Registry:
    registry: Registry = current_app.extensions[_KEY]
    return registry


# Imported where they are used: each brings a library that nobody else needs.
def _mail(config: Config) -> Transport:
    if not config["SMTP_HOST"]:
        return ConsoleTransport("mail")
    from delivery.notifications.channels.mail import SmtpTransport  # noqa: PLC0415

    return SmtpTransport.from_config(config)


def _sms(config: Config) -> Transport:
    match config["SMS_PROVIDER"]:
        case "twilio":
            from delivery.notifications.channels.twilio import TwilioTransport  # noqa: PLC0415

            return TwilioTransport.from_config(config)
        case "sns":
            from delivery.notifications.channels.sns import SnsTransport  # noqa: PLC0415

            return SnsTransport.from_config(config)
        case _:
            return ConsoleTransport("sms")
