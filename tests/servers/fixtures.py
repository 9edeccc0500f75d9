"""The servers as pytest fixtures: each starts when first asked for; the views of one test are cleared before it.

Under xdist the controller owns one PostgreSQL for all workers; every worker gets databases of its own.
"""

import contextlib

import pytest

from tests.servers.collector import collecting
from tests.servers.postgres import Postgres, postgres_server
from tests.servers.processes import adopt_orphans, end_descendants
from tests.servers.receiver import webhook_receiver
from tests.servers.redis import redis_server as start_redis
from tests.servers.smtp import smtp_server
from tests.servers.sns import sns_server
from tests.servers.twilio import twilio_server

CLUSTER = pytest.StashKey[contextlib.ExitStack]()


def pytest_configure(config):
    """The process that began the run sees to it that none outlives it."""
    if not hasattr(config, "workerinput"):
        adopt_orphans()
        config.add_cleanup(no_process_is_left)


def no_process_is_left():
    if left := end_descendants():
        raise pytest.UsageError("processes outlived the tests: " + "; ".join(left))


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node):
    """Tell a new xdist worker where the cluster is; the first one starts it."""
    stash = node.config.stash
    if CLUSTER not in stash:
        stack = stash[CLUSTER] = contextlib.ExitStack()
        node.config.add_cleanup(stack.close)
        stack.postgres = stack.enter_context(postgres_server())
    node.workerinput["postgres"] = str(stash[CLUSTER].postgres.folder)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport():
    """Escape lone surrogates in captured output: hostile input is logged, and xdist carries UTF-8 alone."""
    report = yield
    report.sections = [(name, text.encode(errors="backslashreplace").decode()) for name, text in report.sections]
    return report


@pytest.fixture(scope="session")
def postgres(request):
    """The running cluster (tests.servers.postgres.Postgres)."""
    workerinput = getattr(request.config, "workerinput", None)
    if workerinput is not None:
        yield Postgres(workerinput["postgres"])
    else:
        with postgres_server() as cluster:
            yield cluster


@pytest.fixture(scope="session")
def postgres_url(postgres):
    """SQLAlchemy's URL of a database of this worker, empty at first."""
    with postgres.database() as url:
        yield url


@pytest.fixture
def new_postgres_database(postgres):
    """Call it for the URL of a new, empty database; all are gone after the test."""
    with contextlib.ExitStack() as stack:
        yield lambda **options: stack.enter_context(postgres.database(**options))


@pytest.fixture(scope="session")
def redis_process():
    """The server itself, as the last test left it; tests ask for redis_server."""
    with start_redis() as server:
        yield server


@pytest.fixture
def redis_server(redis_process):
    """A running, empty server (tests.servers.redis.RedisServer) that the test may kill and start."""
    redis_process.flush()
    return redis_process


@pytest.fixture
def collector():
    """An HTTP receiver of whatever is reported (tests.servers.collector)."""
    with collecting() as server:
        yield server


@pytest.fixture(scope="session")
def smtp_thread():
    with smtp_server() as server:
        yield server


@pytest.fixture
def smtp(smtp_thread):
    """A mail server (tests.servers.smtp.SmtpServer) without mails and faults."""
    smtp_thread.clear()
    return smtp_thread


@pytest.fixture(scope="session")
def twilio_thread():
    with twilio_server() as server:
        yield server


@pytest.fixture
def twilio(twilio_thread):
    """Twilio's API (tests.servers.twilio.TwilioServer) without messages and faults."""
    twilio_thread.clear()
    return twilio_thread


@pytest.fixture(scope="session")
def sns_thread():
    with sns_server() as server:
        yield server


@pytest.fixture
def sns(sns_thread):
    """SNS's API (tests.servers.sns.SnsServer) without messages and faults."""
    sns_thread.clear()
    return sns_thread


@pytest.fixture(scope="session")
def receiver_thread():
    with webhook_receiver() as server:
        yield server


@pytest.fixture
def receiver(receiver_thread):
    """A receiver of webhooks (tests.servers.receiver.Receiver) without requests and faults."""
    receiver_thread.clear()
    return receiver_thread
