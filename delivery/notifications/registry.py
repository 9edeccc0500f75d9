"""What the app gave the outbox: who words a message, and which provider carries each channel."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from flask import Config, Flask, current_app

from delivery.notifications.channels import Defer, Letter, Suppress, Transport
from delivery.notifications.channels.console import ConsoleTransport
from delivery.notifications.held import ClaimedMessage
from delivery.notifications.states import Channel

Verdict = Letter | Suppress | Defer
# Run when messages of a template are sent, outside any transaction: looks up addresses and facts, mints links.
Composer = Callable[[Sequence[ClaimedMessage]], Mapping[UUID, Verdict]]
_KEY = "delivery.notifications"


@dataclass(frozen=True)
class Registry:
    composers: Mapping[str, Composer]
    transports: Mapping[Channel, Transport]


def init_app(
    app: Flask, composers: Mapping[str, Composer], *, transports: Mapping[Channel, Transport] | None = None
) -> None:
    """Give the app its composers, by template, and its transports: those that the settings name, or the given ones."""
    app.extensions[_KEY] = Registry(composers, _chosen(app.config) if transports is None else transports)


def each(compose: Callable[[ClaimedMessage], Verdict]) -> Composer:
    """Make a composer of a function that words one message."""
    return lambda messages: {message.id: compose(message) for message in messages}


def composer(template: str) -> Composer:
    """Return the function that words this template; of one that nobody knows, it raises KeyError."""
    return _registry().composers.get(template, _no_composer)


def _no_composer(messages: Sequence[ClaimedMessage]) -> Mapping[UUID, Verdict]:
    raise KeyError(messages[0].template)


def transport(channel: str) -> Transport:
    """Return the provider of a channel."""
    return _registry().transports[Channel(channel)]


def _registry() -> Registry:
    registry: Registry = current_app.extensions[_KEY]
    return registry


def _chosen(config: Config) -> dict[Channel, Transport]:
    return {Channel.MAIL: _mail(config), Channel.SMS: _sms(config), Channel.WEBHOOK: _webhook(config)}


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


def _webhook(config: Config) -> Transport:
    from delivery.notifications.channels.webhook import WebhookTransport  # noqa: PLC0415

    return WebhookTransport.from_config(config)
