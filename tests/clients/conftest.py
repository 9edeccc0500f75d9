"""The app behind a real socket, a proxy in front of it that loses answers, and clients of both."""

import contextlib
import threading
from types import SimpleNamespace

import pytest
from delivery_client import Client
from werkzeug.serving import WSGIRequestHandler, make_server

from tests.auth.keys import made
from tests.clients.front import front_of
from tests.factories import PASSWORD

GRACE = {
    "item_name": "Blue bicycle",
    "recipient": {"name": "Grace Doorstep", "email": "grace@home.example"},
    "destination": {"line1": "12 Harbour Street", "city": "Bristol", "country": "GB"},
}


@pytest.fixture(params=["postgresql"])
def database_url(request, database_url):
    """One database is enough: a client sees neither."""
    return database_url


class Quiet(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"

    def log(self, *_, **__):
        """Say nothing: the test's output is for the test."""


@pytest.fixture
def served(app):
    """The app's port; it answers in threads."""
    listener = make_server("127.0.0.1", 0, app, threaded=True, request_handler=Quiet)
    listener.daemon_threads = False  # it waits for them, so that no test ends before its requests
    thread = threading.Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield listener.server_port
    listener.shutdown()
    thread.join(timeout=10)
    listener.server_close()


@pytest.fixture
def front(served):
    """A proxy of the app (tests.clients.front.Front)."""
    with front_of(served) as front:
        yield front


@pytest.fixture
def connect(front):
    """Call it with credentials for another client, through the proxy; all are closed after the test."""
    with contextlib.ExitStack() as stack:

        def make(**options):
            options = {"first_pause_seconds": 0.01, "timeout_seconds": 10, **options}
            return stack.enter_context(Client(options.pop("url", front.url), **options))

        yield make


@pytest.fixture
def shop(people):
    """A customer who has a key: `shop.key` is the secret, `shop.api` their own view."""
    api = people.customer(email="shop@people.example")
    return SimpleNamespace(api=api, key=made(api)["secret"], email="shop@people.example", password=PASSWORD)


@pytest.fixture
def client(connect, shop):
    """That customer's client, with the key."""
    return connect(api_key=shop.key)
