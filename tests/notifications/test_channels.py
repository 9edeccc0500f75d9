"""The console, memory, and which provider the settings choose."""

import uuid

import pytest
from flask import Flask

from delivery.notifications import registry
from delivery.notifications.channels import Failure, Letter, without_address
from delivery.notifications.channels.console import ConsoleTransport
from delivery.notifications.channels.mail import SmtpTransport
from delivery.notifications.channels.memory import MemoryTransport
from delivery.notifications.channels.sns import SnsTransport
from delivery.notifications.channels.twilio import TwilioTransport
from delivery.notifications.states import Channel

SETTINGS = {
    "SMTP_HOST": "", "SMTP_PORT": 587, "SMTP_USER": "", "SMTP_PASSWORD": "", "SMTP_TLS": "starttls",
    "SMTP_TIMEOUT_SECONDS": 15, "MAIL_FROM": "Delivery <no-reply@localhost>", "SMS_PROVIDER": "console",
    "SMS_API_KEY": "key", "SMS_API_SECRET": "secret", "SMS_FROM": "+15005550006", "SMS_TIMEOUT_SECONDS": 15,
    "TWILIO_BASE_URL": "https://api.twilio.com", "SNS_ENDPOINT_URL": "", "AWS_REGION": "us-east-1",
    "PUBLIC_BASE_URL": "https://delivery.example", "WEBHOOK_ALLOW_LOOPBACK": False, "WEBHOOK_PORTS": [443],
    "WEBHOOK_REFUSED_NETWORKS": [],
}  # fmt: skip


def test_the_console_prints_one_block_in_one_write(capsys, monkeypatch):
    writes, identity = [], uuid.uuid4()
    letter = Letter("grace@home.example", "Hello Grace,\nit is here.\n", "It is here", "<p>no</p>")
    transport = ConsoleTransport("mail")
    monkeypatch.setattr("sys.stdout.write", writes.append)
    assert transport.send(identity, letter) is None
    [block] = writes
    assert block.splitlines()[2:] == [
        f"mail to grace@home.example  ({identity})",
        "Subject: It is here",
        "",
        "Hello Grace,",
        "it is here.",
        "-" * 72,
        "",
    ]


def test_the_console_obeys_no_letter(capsys):
    ConsoleTransport("sms").send(uuid.uuid4(), Letter("+447700900123", "a\x1b[2Jb\rc"))
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert "\r" not in out
    assert "Subject" not in out


@pytest.mark.parametrize(
    ("settings", "mail", "sms"),
    [
        ({}, ConsoleTransport, ConsoleTransport),
        ({"SMTP_HOST": "mail.example"}, SmtpTransport, ConsoleTransport),
        ({"SMS_PROVIDER": "twilio"}, ConsoleTransport, TwilioTransport),
        ({"SMS_PROVIDER": "sns"}, ConsoleTransport, SnsTransport),
    ],
)
def test_the_settings_choose_the_providers(settings, mail, sms):
    app = Flask(__name__)
    app.config.update(SETTINGS, **settings)
    registry.init_app(app, {})
    with app.app_context():
        chosen = registry.transport(Channel.MAIL), registry.transport(Channel.SMS)
    assert (type(chosen[0]), type(chosen[1])) == (mail, sms)


def test_an_errors_text_names_nobody_and_ends():
    failure = Failure(
        "why", "grace@home.example and +44 7700 900123 (or 0044-7700-900123) failed 550 5.1.1 " + "x" * 900
    )
    assert failure.message.startswith("*** and *** (or ***) failed 550 5.1.1")
    assert len(failure.message) == 500


def test_an_errors_text_can_be_kept_and_printed():
    failure = Failure("twilio_\x00" + "9" * 90, "550 no\x00such\nuser\x1b[2J\ud800 é")
    assert failure.message == "550 no such user [2J  é"
    assert (failure.error_class.isprintable(), len(failure.error_class)) == (True, 40)


def test_memory_keeps_and_fails_as_told():
    transport, letter = MemoryTransport(), Letter("a", "b")
    transport.failures.append(Failure("why", "no"))
    with pytest.raises(Failure):
        transport.send(uuid.uuid4(), letter)
    assert transport.send(uuid.uuid4(), letter) == "memory-1"


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("250 2.0.0 queued for <Ada@shop.example> as 4F2A1122334455", "250 2.0.0 queued for <***> as 4F2A1122334455"),
        ("450 ada is over quota, says adamant", "450 *** is over quota, says adamant"),
        ("550 bob@shop.example is somebody else", "550 *** is somebody else"),
    ],
)
def test_a_provider_that_repeats_the_address_is_blotted_out(said, kept):
    assert without_address(said, "ada@shop.example") == kept


def test_the_digits_of_a_number_are_blotted_out_too():
    assert without_address("to 447700900123 (SM447700900123ff)", "+447700900123") == "to *** (SM447700900123ff)"
    assert without_address("as it is", "") == "as it is"


def test_a_name_is_blotted_out_however_it_is_written():
    assert without_address("450 KIM is unknown", "kim@shop.example") == "450 *** is unknown"
    assert without_address("450 \N{KELVIN SIGN}im is unknown", "kim@shop.example") == "450 *** is unknown"
    assert without_address("450 sam is unknown", "\N{LATIN SMALL LETTER LONG S}am@shop.example") == "450 *** is unknown"
