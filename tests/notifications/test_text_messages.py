"""Text messages over the protocols of Twilio and SNS: what is asked of them, and what each of their failures means."""

import socket
import ssl
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest
from twilio.http.response import Response

from delivery.notifications.channels import Failure, Letter, Unknown, Unreachable
from delivery.notifications.channels import twilio as twilio_channel
from delivery.notifications.channels.callback_address import status_address
from delivery.notifications.channels.sns import SnsTransport
from delivery.notifications.channels.twilio import TwilioTransport
from tests.servers.certificate import server_context

LETTER = Letter("+447700900123", "Delivery: it has arrived.")


@pytest.fixture
def twilio_transport(twilio):
    made = []

    def make(**settings):
        given = {"account": twilio.account, "token": twilio.token, "sender": "+15005550006", "base_url": twilio.url}
        transport = TwilioTransport(**{**given, "timeout_seconds": 5, **settings})
        made.append(transport)
        return transport

    yield make
    for transport in made:
        transport.close()


@pytest.fixture
def sns_transport(sns):
    made = []

    def make(**settings):
        given = {"key": "key", "secret": "secret", "sender": "", "region": sns.region, "endpoint_url": sns.url}
        transport = SnsTransport(**{**given, "timeout_seconds": 5, **settings})
        made.append(transport)
        return transport

    yield make
    for transport in made:
        transport.close()


def failure_of(transport):
    with pytest.raises(Failure) as caught:
        transport.send(uuid.uuid4(), LETTER)
    return caught.value


def closed_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def test_twilio_gets_the_message_and_we_its_reference(twilio, twilio_transport):
    names = {"SMS_API_KEY": twilio.account, "SMS_API_SECRET": twilio.token, "SMS_FROM": "+15005550006"}
    more = {"TWILIO_BASE_URL": twilio.url, "PUBLIC_BASE_URL": "https://delivery.example", "SMS_TIMEOUT_SECONDS": 5}
    identity = uuid.uuid4()
    reference = TwilioTransport.from_config(names | more).send(identity, LETTER)
    [message] = twilio.messages
    assert (message["to"], message["body"], message["from"]) == (LETTER.address, LETTER.text, "+15005550006")
    assert reference == message["sid"]
    address = f"https://delivery.example/api/callbacks/twilio/status/{identity}"
    assert twilio.requests[0]["StatusCallback"] == f"{address}#rc=5&rp=5xx,ct,rt"


def test_twilio_sends_from_a_messaging_service(twilio, twilio_transport):
    service = "MG" + "0" * 32
    twilio_transport(sender=service).send(uuid.uuid4(), LETTER)
    assert (twilio.requests[0]["MessagingServiceSid"], twilio.requests[0].get("From")) == (service, None)


@pytest.mark.parametrize(
    ("error", "kind", "permanent"),
    [
        ((400, 21211), Failure, True),
        ((400, 21610), Failure, True),
        ((401, 20003), Unreachable, False),
        ((429, 20429), Unreachable, False),
        ((503, 20503), Unreachable, False),
        ((500, 20500), Unknown, False),
    ],
)
def test_twilios_errors_mean_something(twilio, twilio_transport, error, kind, permanent):
    status, code = error
    twilio.fail(status, code=code, message="The 'To' number +447700900123 is not valid.")
    failure = failure_of(twilio_transport())
    assert (type(failure), failure.permanent, failure.error_class) == (kind, permanent, f"twilio_{code}")
    assert "7700" not in failure.message


def test_twilio_says_when_to_come_back(twilio, twilio_transport):
    twilio.limit(retry_after=17)
    assert failure_of(twilio_transport()).retry_after_seconds == 17


def test_twilio_is_asked_once_when_it_does_not_answer(twilio, twilio_transport):
    twilio.drop_after_accept()
    assert isinstance(failure_of(twilio_transport()), Unknown)
    assert len(twilio.requests) == 1


def test_twilio_that_takes_too_long_is_unknown(twilio, twilio_transport):
    twilio.delay = 1.0
    assert isinstance(failure_of(twilio_transport(timeout_seconds=0.3)), Unknown)


@pytest.mark.parametrize(
    ("published", "provider", "is_called"),
    [
        ("https://delivery.example", "https://api.twilio.com", True),
        ("https://delivery.example/shop", "https://api.twilio.com", True),
        ("http://127.0.0.1:8000", "https://api.twilio.com", False),
        ("http://localhost:8000", "https://api.twilio.com", False),
        ("https://10.1.2.3", "https://api.twilio.com", False),
        ("https://intranet", "https://api.twilio.com", False),
        ("", "https://api.twilio.com", False),
        ("http://127.0.0.1:8000", "http://127.0.0.1:9", True),
    ],
)
def test_twilio_is_given_an_address_that_it_can_call_or_none(published, provider, is_called):
    expected = f"{published}/api/callbacks/twilio/status/" if is_called else ""
    assert status_address(published, provider=provider) == expected


def test_threads_share_a_transport_and_each_gets_its_own_answer(twilio, twilio_transport, monkeypatch):
    """What one is told, such as when to come back, is no news for another."""

    def slowly(*answer):
        time.sleep(0.02)  # for the others to get theirs
        return Response(*answer)

    monkeypatch.setattr(twilio_channel, "Response", slowly)
    transport, seconds = twilio_transport(), range(1, 41)
    for number in seconds:
        twilio.limit_number(f"+4477009{number:05}", retry_after=number)

    def send(number):
        with pytest.raises(Unreachable) as caught:
            transport.send(uuid.uuid4(), Letter(f"+4477009{number:05}", "x"))
        return caught.value.retry_after_seconds

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(send, seconds)) == list(seconds)
    assert transport.concurrency == transport.hand_off_size == 8


def test_threads_send_side_by_side(twilio, twilio_transport):
    twilio.delay = 0.2
    transport, began = twilio_transport(), time.monotonic()
    with ThreadPoolExecutor(8) as pool:
        references = list(pool.map(lambda _: transport.send(uuid.uuid4(), LETTER), range(16)))
    assert len(set(references)) == 16
    assert time.monotonic() - began < 16 * 0.2 / 2


def test_sns_is_used_by_several_threads_too(sns, sns_transport):
    transport = sns_transport()
    with ThreadPoolExecutor(8) as pool:
        references = list(pool.map(lambda _: transport.send(uuid.uuid4(), LETTER), range(16)))
    assert sorted(references) == sorted(message.id for message in sns.messages)


def test_twilio_that_is_not_there_is_unreachable(twilio_transport):
    assert isinstance(failure_of(twilio_transport(base_url=f"http://127.0.0.1:{closed_port()}")), Unreachable)


def test_nothing_about_a_text_message_is_logged(twilio, twilio_transport, caplog):
    caplog.set_level("DEBUG")
    twilio_transport().send(uuid.uuid4(), LETTER)
    assert "7700900123" not in caplog.text
    assert LETTER.text not in caplog.text


def test_sns_gets_the_message_and_we_its_reference(sns, sns_transport):
    reference = sns_transport(sender="Delivery").send(uuid.uuid4(), LETTER)
    [message] = sns.messages
    assert (message.id, message.to, message.body) == (reference, LETTER.address, LETTER.text)


@pytest.mark.parametrize(
    ("error", "kind", "permanent"),
    [
        ((400, "InvalidParameter"), Failure, True),
        ((400, "Throttling"), Unreachable, False),
        ((403, "InvalidClientTokenId"), Unreachable, False),
        ((500, "InternalError"), Unknown, False),
        ((503, "ServiceUnavailable"), Unreachable, False),
    ],
)
def test_snss_errors_mean_something(sns, sns_transport, error, kind, permanent):
    status, code = error
    sns.fail(status, code=code)
    failure = failure_of(sns_transport())
    assert (type(failure), failure.permanent, failure.error_class) == (kind, permanent, f"sns_{code}")
    assert sns.messages == [], "asked once"


def test_sns_that_is_not_there_is_unreachable(sns_transport):
    transport = sns_transport(endpoint_url=f"http://127.0.0.1:{closed_port()}")
    assert isinstance(failure_of(transport), Unreachable)


@pytest.fixture
def tls_server(tmp_path, monkeypatch):
    """A server on TLS that breaks off in the middle of its answer: call it for its address."""
    context, certificate = server_context(tmp_path)
    listener = socket.create_server(("127.0.0.1", 0))
    heard = []

    def serve():
        raw, _ = listener.accept()
        with raw:
            try:
                connection = context.wrap_socket(raw, server_side=True, do_handshake_on_connect=True)
            except ssl.SSLError:
                return
            heard.append(connection.recv(65536))
            plain = socket.socket(fileno=connection.detach())
            with plain:
                plain.sendall(b"this is no TLS record at all")

    def start(*, trusted):
        for name in ("REQUESTS_CA_BUNDLE", "AWS_CA_BUNDLE"):
            monkeypatch.setenv(name, str(certificate)) if trusted else monkeypatch.delenv(name, raising=False)
        thread.start()
        return f"https://127.0.0.1:{listener.getsockname()[1]}", heard

    thread = threading.Thread(target=serve)
    yield start
    thread.join(timeout=10)
    listener.close()


@pytest.fixture(params=["twilio", "sns"])
def transport_to(request, twilio_transport, sns_transport):
    """Call it with an address for a transport of either provider."""
    if request.param == "twilio":
        return lambda url: twilio_transport(base_url=url)
    return lambda url: sns_transport(endpoint_url=url)


def test_a_connection_whose_encryption_breaks_in_the_answer_is_unknown(tls_server, transport_to):
    url, heard = tls_server(trusted=True)
    assert type(failure_of(transport_to(url))) is Unknown
    assert heard, "it had the message"


def test_a_provider_that_nobody_vouches_for_gets_nothing(tls_server, transport_to):
    url, heard = tls_server(trusted=False)
    assert type(failure_of(transport_to(url))) is Unreachable
    assert heard == []


def test_a_provider_without_encryption_gets_nothing(transport_to, twilio):
    url = twilio.url.replace("http://", "https://")
    assert type(failure_of(transport_to(url))) is Unreachable


@pytest.mark.parametrize(
    ("sender", "key"), [("+447700900001", "AWS.MM.SMS.OriginationNumber"), ("Delivery", "AWS.SNS.SMS.SenderID")]
)
def test_sns_is_told_who_sends(sns_transport, sender, key):
    attributes = sns_transport(sender=sender)._attributes()
    assert attributes[key] == {"DataType": "String", "StringValue": sender}
    assert attributes["AWS.SNS.SMS.SMSType"]["StringValue"] == "Transactional"
