"""No connection to an address that is not public, ever: not by a URL, a name, or a name that changes its mind."""

import socket
from contextlib import ExitStack
from uuid import uuid4

import pytest

from delivery.notifications.channels import Failure, Letter
from delivery.notifications.channels.public_addresses import Refused, Rules
from delivery.notifications.channels.webhook import WebhookTransport
from tests.servers.receiver import webhook_receiver

# {port} is where a listener waits on 127.0.0.1 and ::1.
URLS = [
    "http://127.0.0.1:{port}/",
    "https://127.0.0.1:{port}/",
    "https://127.0.0.1/",
    "https://localhost:{port}/",
    "https://localhost/",
    "https://LOCALHOST/",
    "https://localhost./",
    "https://[::1]:{port}/",
    "https://[::1]/",
    "https://[::ffff:127.0.0.1]/",
    "https://[::ffff:7f00:1]/",
    "https://[::127.0.0.1]/",
    "https://[0:0:0:0:0:0:0:1]/",
    "https://[::1%25lo]/",
    "https://[fe80::1]/",
    "https://[fec0::1]/",
    "https://[3fff::1]/",
    "https://[v1.x]/",
    "https://[5f00::1]/",
    "https://[fc00::1]/",
    "https://[ff02::1]/",
    "https://[::]/",
    "https://[64:ff9b::7f00:1]/",
    "https://[64:ff9b:1::7f00:1]/",
    "https://[2002:7f00:1::]/",
    "https://2130706433/",
    "https://0x7f.1/",
    "https://0x7f000001/",
    "https://0177.0.0.1/",
    "https://127.1/",
    "https://127.0.0.1.:{port}/",
    "https://①②⑦.0.0.1/",
    "https://0.0.0.0/",
    "https://10.0.0.1/",
    "https://172.16.0.1/",
    "https://192.168.1.1/",
    "https://169.254.169.254/latest/meta-data/",
    "https://100.64.0.1/",
    "https://192.0.0.8/",
    "https://192.88.99.1/",
    "https://198.18.0.1/",
    "https://203.0.113.9/",
    "https://224.0.0.1/",
    "https://240.0.0.1/",
    "https://255.255.255.255/",
    "file:///etc/passwd",
    "gopher://127.0.0.1:{port}/_x",
    "ftp://127.0.0.1:{port}/",
    "//127.0.0.1:{port}/",
    "https://user@127.0.0.1:{port}/",
    "https://hooks.example@127.0.0.1:{port}/",
    "https://127.0.0.1:{port}\\@hooks.example/",
    "https://hooks.example#@127.0.0.1:{port}/",
    "https://hooks.example:22/",
    "https://hooks.example:0/",
    "https://hooks.example:99999/",
    "https://hooks.example:{port}/",
    "http://hooks.example/",
    "https://hooks.ex\tample/",
    "https://hooks.example/\r\nHost: x",
    "https:// hooks.example/",
    "https:hooks.example",
    "https://",
    "https://-hooks.example/",
    "https://hooks..example/",
    "https://hooks.example/" + "x" * 2048,
    "",
]
PRIVATE = ["127.0.0.1", "::1", "10.0.0.1", "169.254.169.254", "64:ff9b::7f00:1", "fec0::1", "::ffff:127.0.0.1"]


@pytest.fixture(scope="module")
def listeners():
    with ExitStack() as stack:
        four = stack.enter_context(webhook_receiver())
        # The same port on both, so that a URL reaches one or the other.
        six = stack.enter_context(webhook_receiver(host="::1", port=four.port))
        yield four, six


@pytest.fixture
def port(listeners):
    yield listeners[0].port
    assert [listener.connections for listener in listeners] == [0, 0]


def places(*addresses, port):
    return [
        (socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))
        for address in addresses
    ]


def refusal(transport, url):
    with pytest.raises(Failure) as caught:
        transport.send(uuid4(), Letter(url, "{}"))
    return caught.value.error_class


@pytest.mark.parametrize("url", URLS)
def test_a_hostile_url_reaches_nobody(url, port):
    transport = WebhookTransport(rules=Rules(ports=(443,)))
    assert refusal(transport, url.format(port=port)) == "address_refused"


@pytest.mark.parametrize("address", PRIVATE)
def test_a_name_that_leads_inside_reaches_nobody(address, port):
    rules = Rules(ports=(443, port))
    inside = WebhookTransport(rules=rules, resolve=lambda _, at, **__: places(address, port=at))
    mixed = WebhookTransport(rules=rules, resolve=lambda _, at, **__: places("93.184.215.14", address, port=at))
    assert refusal(inside, f"https://hooks.example:{port}/") == "address_refused"
    assert refusal(mixed, f"https://hooks.example:{port}/") == "address_refused"


def test_a_name_that_changes_its_mind_is_asked_once(port, monkeypatch):
    """DNS rebinding: public when it is checked, loopback when somebody would ask again."""
    answers = iter(["93.184.215.14", "127.0.0.1", "127.0.0.1"])
    asked, dialled = [], []

    def resolve(host, at, **_):
        asked.append(host)
        return places(next(answers), port=at)

    def connect(_socket, address):
        dialled.append(address)
        raise ConnectionRefusedError

    monkeypatch.setattr("delivery.notifications.channels.deadlines.BoundedSocket.connect", connect)
    transport = WebhookTransport(rules=Rules(ports=(port,)), resolve=resolve)
    assert refusal(transport, f"https://hooks.example:{port}/") == "connect_failed"
    assert asked == ["hooks.example"]
    assert dialled == [("93.184.215.14", port)]


def test_loopback_alone_is_allowed_for_trials(port):
    near = Rules(loopback=True)
    assert near.target(f"http://localhost:{port}/").port == port
    for url in ("http://10.0.0.1/", "https://169.254.169.254/", f"http://93.184.215.14:{port}/",
                "http://hooks.example/", f"https://hooks.example:{port}/", "http://localhost.example/"):  # fmt: skip
        with pytest.raises(Refused):
            near.target(url)
    elsewhere = WebhookTransport(rules=near, resolve=lambda _, at, **__: places("93.184.215.14", port=at))
    assert refusal(elsewhere, f"http://hooks.localhost:{port}/") == "address_refused"


@pytest.mark.parametrize(
    "url", ["https://hooks.example", "https://a.b-c.example/x?y=z&a=%20", "https://93.184.215.14/"]
)
def test_a_usual_url_is_taken(url):
    assert Rules().target(url).scheme == "https"


def test_a_deployment_can_refuse_its_own_networks():
    with pytest.raises(Refused):
        Rules(refused=("93.184.0.0/16",)).target("https://93.184.215.14/")
