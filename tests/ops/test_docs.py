"""The documents' pages: what they load is served, nothing else is, and all of it under the policy."""

import re

import pytest

# No page asks the database.
pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


def test_the_pages_load_what_is_served_under_the_policy(client):
    for page in ("/docs", "/redoc"):
        answer = client.get(page)
        assets = re.findall(r'"(/docs/assets/[^"]+)"', answer.text)
        assert len(assets) >= 2
        for path in assets:
            with client.get(path) as asset:  # a file, to be closed
                assert asset.status_code == 200, path
                assert asset.headers["Content-Security-Policy"] == answer.headers["Content-Security-Policy"]
                assert asset.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize("name", ["oauth2-redirect.html", "oauth2-redirect.js", "LICENSE", "swagger-ui.js", "../dist"])
def test_what_no_page_loads_is_not_served(client, name):
    answer = client.get(f"/docs/assets/{name}")
    assert answer.status_code == 404
    assert answer.mimetype == "application/problem+json"
