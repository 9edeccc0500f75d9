"""Who may call what: every endpoint has its row, and every cell of the table is true."""

from delivery.policy import POLICY


def served(app):
    endpoints = {rule.endpoint for rule in app.url_map.iter_rules()}
    return {one for one in endpoints if not one.startswith(("docs.", "static")) and not one.endswith(".static")}


def test_every_endpoint_has_a_row_and_every_row_an_endpoint(app):
    assert set(POLICY) == served(app)


def test_a_row_says_public_where_the_view_does(app):
    for endpoint, rule in POLICY.items():
        assert (app.view_functions[endpoint].access == "public") == rule.public, endpoint
