"""nginx with the repository's files; without an nginx on this machine these tests are skipped."""

import pytest

from tests.nginx.front import NGINX, front

REASON = "there is no nginx here (Debian: apt install nginx); scripts/containers asks the one in the container"


def pytest_collection_modifyitems(items):
    for item in items:
        if "tests/nginx/" in item.nodeid and not NGINX:
            item.add_marker(pytest.mark.skip(reason=REASON))


@pytest.fixture
def plain(plain_running):
    plain_running.point_at("127.0.0.2")
    plain_running.settle()
    plain_running.first.forget()
    plain_running.second.forget()
    return plain_running


@pytest.fixture(scope="session")
def plain_running():
    with front() as it:
        yield it


@pytest.fixture
def with_tls():
    with front("tls.conf") as it:
        yield it
