"""The transport: what each kind of answer means, and how long and how much it listens."""

import socket
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from uuid import uuid4

import pytest

from delivery.notifications.channels import Failure, Letter, Unknown
from delivery.notifications.channels.public_addresses import Rules
from delivery.notifications.channels.webhook import WebhookTransport
from tests.servers.certificate import server_context
from tests.servers.receiver import webhook_receiver

NEAR = Rules(loopback=True)


@pytest.fixture
def transport():
    made = WebhookTransport(rules=NEAR)
    yield made
    made.close()


def quick(**options):
    return WebhookTransport(rules=NEAR, **{"total_seconds": 0.3, **options})


def send(transport, url, *, text='{"type":"x"}', headers=None, expects=""):
    return transport.send(uuid4(), Letter(url, text, headers=headers or {}, expects=expects))


def refused(transport, url, **letter):
    with pytest.raises(Failure) as caught:
        send(transport, url, **letter)
    return caught.value


def test_a_letter_arrives_as_it_was_written(transport, receiver):
    text = '{"type":"x","name":"Grüße"}'
    assert send(transport, f"{receiver.url}/hooks?a=b", text=text, headers={"webhook-id": "1"}) == "204"
    [request] = receiver.requests
    assert (request.path, request.body, request.id) == ("/hooks?a=b", text.encode(), "1")
    assert request.headers["host"] == f"127.0.0.1:{receiver.port}"
    assert {"cookie", "authorization", "accept-encoding"} & set(request.headers) == set()


@pytest.mark.parametrize("status", [300, 400, 401, 404, 418, 500, 502])
def test_what_is_no_success_is_tried_again(transport, receiver, status):
    receiver.answer(status, body=b"No, thanks.")
    failure = refused(transport, receiver.url)
    assert (failure.error_class, failure.permanent, failure.retry_after_seconds) == (f"http_{status}", False, None)
    assert failure.message == f"{status} No, thanks."


def test_a_redirect_is_not_followed(transport, receiver):
    receiver.redirect(f"{receiver.url}/elsewhere")
    assert refused(transport, receiver.url).error_class == "http_302"
    assert [request.path for request in receiver.requests] == ["/"]


def test_gone_is_for_good(transport, receiver):
    receiver.gone()
    assert refused(transport, receiver.url).permanent


@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_is_heeded_in_seconds_and_as_a_date(transport, receiver, status):
    receiver.limit(120, status=status)
    assert refused(transport, receiver.url).retry_after_seconds == 120
    receiver.limit(format_datetime(datetime.now(UTC) + timedelta(minutes=5), usegmt=True), status=status)
    assert 290 < refused(transport, receiver.url).retry_after_seconds <= 300


FAR_OFF = "Wed, 21 Oct 2030 07:28:00 +9999999999999999999999"


@pytest.mark.parametrize("asked", ["soon", "-5", "", "٣", "Thu, 99 Foo 2026 99:99:99 GMT", FAR_OFF])
def test_a_retry_after_that_says_nothing_is_none(transport, receiver, asked):
    receiver.answer(429, headers={"Retry-After": asked.encode().decode("latin-1")})
    assert refused(transport, receiver.url).retry_after_seconds is None


def test_what_a_receiver_says_is_kept_short_and_printable(transport, receiver):
    receiver.answer(500, body=b"\x1b[31m\x00" + b"x" * 5000)
    message = refused(transport, receiver.url).message
    assert message.isprintable()
    assert len(message) <= 500


def test_a_drip_ends_at_the_deadline(receiver):
    receiver.drip(head=True, seconds=0.05)
    begun = time.monotonic()
    failure = refused(quick(), receiver.url)
    assert (type(failure), failure.error_class) == (Unknown, "timeout")
    assert 0.3 <= time.monotonic() - begun < 0.6


def test_a_dripping_body_cannot_take_back_a_success(receiver):
    receiver.drip(seconds=0.05)
    begun = time.monotonic()
    assert send(quick(), receiver.url) == "200"
    assert time.monotonic() - begun < 0.6


def test_an_endless_body_is_cut(transport, receiver):
    receiver.endless()
    begun = time.monotonic()
    assert send(transport, receiver.url) == "200"
    assert time.monotonic() - begun < 2


def test_a_promise_of_a_giant_body_takes_no_memory(transport, receiver):
    receiver.answer(500, headers={"X": "y"}, body=b"")
    receiver.script.clear()
    receiver.script.add(lambda handler: handler.raw(b"HTTP/1.1 200 OK\r\nContent-Length: 900000000000000\r\n\r\nx"))
    assert send(transport, receiver.url) == "200"


def test_endless_headers_are_cut(transport, receiver):
    lines = b"HTTP/1.1 200 OK\r\n" + b"".join(b"X-%d: y\r\n" % number for number in range(50_000))
    receiver.script.add(lambda handler: handler.raw(lines))
    assert refused(transport, receiver.url).error_class in {"bad_answer", "no_answer"}


def test_silence_and_a_reset_are_uncertain(receiver):
    receiver.hang()
    assert isinstance(refused(quick(), receiver.url), Unknown)
    receiver.reset()
    assert isinstance(refused(quick(), receiver.url), Unknown)


def test_nonsense_is_no_answer(transport, receiver):
    receiver.nonsense()
    assert refused(transport, receiver.url).error_class == "bad_answer"


def test_a_challenge_must_come_back(transport, receiver):
    assert send(transport, receiver.url, text='{"type":"endpoint.verify","data":{"challenge":"c7"}}', expects="c7")
    receiver.answers_challenges = False
    assert refused(transport, receiver.url, expects="c7").error_class == "challenge_unanswered"


def test_nobody_there_is_no_connection(transport):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    assert refused(transport, f"http://127.0.0.1:{port}/").error_class == "connect_failed"


def test_a_resolver_that_hangs_is_given_up():
    def slow(*_, **__):
        time.sleep(1)

    transport = quick(resolve=slow, connect_seconds=0.1)
    assert refused(transport, "https://slow.example/").error_class == "dns_timeout"


def test_a_connection_is_kept_and_a_stale_one_replaced(transport, receiver):
    for _ in range(3):
        send(transport, receiver.url)
    assert receiver.connections == 1
    # Closed behind our back, while nobody looked.
    receiver.script.add(lambda handler: handler.reset())
    send(transport, receiver.url)
    assert receiver.connections == 2
    assert len(receiver.requests) == 5


def test_tls_is_verified_by_the_name(tmp_path):
    context, certificate = server_context(tmp_path)
    names = []
    context.sni_callback = lambda _socket, name, _context: names.append(name)
    with webhook_receiver(tls=context) as receiver:

        def resolve(_host, port, **_):
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

        known = WebhookTransport(rules=NEAR, resolve=resolve, authorities=str(certificate))
        assert send(known, f"https://localhost:{receiver.port}/") == "204"
        assert receiver.requests[0].headers["host"] == f"localhost:{receiver.port}"
        assert refused(known, f"https://other.localhost:{receiver.port}/").error_class == "tls"
        assert refused(WebhookTransport(rules=NEAR), f"https://localhost:{receiver.port}/").error_class == "tls"
        known.close()
    assert names == ["localhost", "other.localhost", "localhost"]
    assert len(receiver.requests) == 1
