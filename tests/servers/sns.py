"""AWS SNS's protocol on loopback, by moto's server; scripted faults come before it."""

import threading
from contextlib import contextmanager
from dataclasses import dataclass

from tests.servers.script import Script

ACCOUNT = "123456789012"  # moto's
ERROR = """<ErrorResponse xmlns="http://sns.amazonaws.com/doc/2010-03-31/">
<Error><Type>{kind}</Type><Code>{code}</Code><Message>{code}</Message></Error><RequestId>0</RequestId></ErrorResponse>"""


@dataclass(frozen=True)
class Sms:
    """One published text message."""

    id: str
    to: str
    body: str


class SnsServer:
    """What was published, and what goes wrong next. Any credentials are taken."""

    region = "us-east-1"

    def __init__(self, application):
        self.url = ""
        self.script = Script()
        self._application = application

    def __call__(self, environ, start_response):
        """Be the WSGI application: a scripted fault, else moto."""
        fault = self.script.take(environ)
        if fault is None:
            return self._application(environ, start_response)
        status, code = fault
        kind = "Sender" if status < 500 else "Receiver"
        start_response(f"{status} Error", [("Content-Type", "text/xml")])
        return [ERROR.format(kind=kind, code=code).encode()]

    def fail(self, status, *, code, times=1):
        """Answer a request with this error, such as 400 Throttling or 500 InternalError. times=None: always."""
        self.script.add((status, code), times=times)

    @property
    def messages(self):
        """Every published text message, in order."""
        return [Sms(key, to, body) for key, (to, body) in self._backend().sms_messages.items()]

    def clear(self):
        self.script.clear()
        self._backend().reset()

    def _backend(self):
        from moto.sns.models import sns_backends  # noqa: PLC0415  half a second that only SNS tests pay

        return sns_backends[ACCOUNT][self.region]


@contextmanager
def sns_server():
    """Start moto's server on a free loopback port in a thread; stop it at the end."""
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app  # noqa: PLC0415
    from moto.server import MotoRequestHandler  # noqa: PLC0415
    from werkzeug.serving import make_server  # noqa: PLC0415

    sns = SnsServer(DomainDispatcherApplication(create_backend_app))
    listener = make_server("127.0.0.1", 0, sns, threaded=True, request_handler=MotoRequestHandler)
    sns.url = f"http://127.0.0.1:{listener.server_port}"
    thread = threading.Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.05}, name="sns", daemon=True)
    thread.start()
    try:
        yield sns
    finally:
        listener.shutdown()
        thread.join(timeout=10)
        listener.server_close()
