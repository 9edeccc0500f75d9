"""Hostile bodies at every endpoint that takes one: refused for what they are, and never a 5xx."""

import io
import json

import pytest

from tests.auth.keys import KEYS, made, sandbox_of
from tests.calls import Things, filled
from tests.factories import delivery_in
from tests.imports.making import template
from tests.web.answers import problem, wrong
from tests.webhooks.making import endpoint

DEEP = 150_000
MALFORMED = {
    "empty": b"",
    "spaces": b"  \n",
    "half an object": b'{"a": 1',
    "two objects": b"{}{}",
    "single quotes": b"{'a': 1}",
    "trailing comma": b'{"a": 1,}',
    "a comment": b"{} // yes",
    "NaN": b'{"a": NaN}',
    "infinity": b'{"a": -Infinity}',
    "a number beyond doubles": b'{"a": 1e400}',
    "5,000 digits": b'{"a": ' + b"9" * 5000 + b"}",
    "deep lists": b'{"a": ' + b"[" * DEEP + b"]" * DEEP + b"}",
    "deep objects": b'{"a":' * DEEP + b"1" + b"}" * DEEP,
    "invalid UTF-8": b'{"a": "\xff\xfe"}',
    "overlong UTF-8": b'{"a": "\xc0\x80"}',
    "UTF-8 of a surrogate": b'{"a": "\xed\xa0\x80"}',
    "UTF-16": '{"a": 1}'.encode("utf-16"),
    "a byte order mark": b'\xef\xbb\xbf{"a": 1}',
    "a raw control character": b'{"a": "\x01"}',
    "a bare NUL": b"\0",
}
MEANINGLESS = {
    "null": b"null",
    "a list": b"[]",
    "a text": b'"x"',
    "a number": b"1",
    "true": b"true",
    "half a surrogate pair": b'{"name": "\\ud800"}',
    "the other half": b'{"name": "x\\udc00y"}',
    "halves in the wrong order": b'{"name": "\\udc00\\ud800"}',
    "NUL in a value": b'{"name": "a\\u0000b"}',
    "NUL in a name": b'{"na\\u0000me": "b"}',
    "NUL deep inside": b'{"name": ' + b"[" * 1000 + b'"\\u0000"' + b"]" * 1000 + b"}",
    "a deep unknown": b'{"a": ' + b"[" * 1000 + b"]" * 1000 + b"}",
}
MEDIA_TYPES = [
    None,
    "",
    "text/plain",
    "text/json",
    "application/xml",
    "application/problem+json",
    "multipart/form-data; boundary=x",
    "application/json, text/html",
    "application/json; charset=utf-7",
    "application/json; charset=utf-16",
    "application/json; charset=latin-1",
    "application/" + "x" * 5000,
    "\xff\xfe",
]
WITHOUT_BODY = {
    "auth.logout", "auth.logout_all", "privacy.erase", "webhook-endpoints.rotate_secret", "webhook-endpoints.verify",
    "webhook-endpoints.enable", "webhook-endpoints.send_test", "webhook-deliveries.send_again", "notifications.resend",
    "unsubscribe.come_back", "imports.cancel",
}  # fmt: skip


def endpoints(people):
    """(who, method, path) of each endpoint that takes JSON."""
    admin = people.admin()
    one = f"/api/deliveries/{admin.create()['id']}"
    hook = endpoint(admin.app, admin.user_id, status="active")
    sandbox = sandbox_of(admin)
    return [
        (admin, "POST", "/api/auth/login"),
        (admin, "POST", "/api/auth/refresh"),
        (admin, "POST", "/api/auth/request-verification"),
        (admin, "POST", "/api/auth/verify-email"),
        (admin, "POST", "/api/auth/request-password-reset"),
        (admin, "POST", "/api/auth/reset-password"),
        (admin, "POST", "/api/auth/change-password"),
        (admin, "POST", "/api/auth/change-email"),
        (admin, "POST", "/api/auth/confirm-email"),
        (admin, "POST", "/api/auth/accept-invitation"),
        (admin, "POST", "/api/invitations"),
        (admin, "POST", "/api/privacy/erasures"),
        (admin, "POST", "/api/users"),
        (admin, "PATCH", f"/api/users/{admin.user_id}"),
        (admin, "PUT", f"/api/users/{admin.user_id}/notification-preferences"),
        (admin, "POST", filled("/unsubscribe/{unsubscribe_token}", Things(people, by=admin))),
        (admin, "POST", filled("/unsubscribe/{unsubscribe_token}/preferences", Things(people, by=admin))),
        (admin, "POST", "/api/deliveries"),
        (admin, "POST", "/api/deliveries/bulk"),
        (admin, "POST", "/api/deliveries/transitions"),
        (admin, "POST", "/api/deliveries/labels"),
        (admin, "PATCH", one),
        (admin, "POST", f"{one}/transitions"),
        (admin, "POST", KEYS),
        (admin, "POST", f"{KEYS}/{made(admin)['id']}/roll"),
        (admin, "POST", "/api/import-templates"),
        (admin, "PATCH", f"/api/import-templates/{template(admin.app, admin.user_id)}"),
        (admin, "POST", "/api/webhook-endpoints"),
        (admin, "PATCH", f"/api/webhook-endpoints/{hook}"),
        (admin, "POST", f"/api/webhook-endpoints/{hook}/replay"),
        (sandbox, "POST", f"/api/sandbox/deliveries/{sandbox.create()['id']}/advance"),
    ]


def test_the_list_of_endpoints_is_complete(app, people):
    """A new endpoint with a body must be added above."""
    bound = app.url_map.bind("localhost")
    attacked = {bound.match(path, method)[0] for _, method, path in endpoints(people)}
    taking = {
        f"{rule.endpoint}"
        for rule in app.url_map.iter_rules()
        if rule.methods & {"POST", "PATCH", "PUT"}
        and rule.endpoint not in WITHOUT_BODY
        and not rule.endpoint.startswith("twilio.")  # signed forms: test_receipts.py, test_answers.py
        and rule.endpoint != "imports.create"  # a file: tests/imports/test_uploads.py
    }
    assert attacked == taking


def test_a_malformed_body_is_a_400(people):
    for who, method, path in endpoints(people):
        for name, data in MALFORMED.items():
            response = who.request(method, path, data=data, content_type="application/json")
            assert response.status_code == 400, f"{method} {path}, {name}: {response.text}"
            problem(response, 400, "malformed")


def test_a_body_without_meaning_is_a_422(people):
    for who, method, path in endpoints(people):
        for name, data in MEANINGLESS.items():
            response = who.request(method, path, data=data, content_type="application/json")
            assert response.status_code == 422, f"{method} {path}, {name}: {response.text}"
            problem(response, 422, "validation_failed")


def test_another_media_type_is_a_415(people):
    for who, method, path in endpoints(people):
        for content_type in MEDIA_TYPES:
            one_click = path.startswith("/unsubscribe/") and not path.endswith("/preferences")
            if one_click and content_type and content_type.startswith("multipart/"):
                continue  # mail programs may post that
            response = who.request(method, path, data=b"{}", content_type=content_type)
            assert response.status_code == 415, f"{method} {path}, {content_type}: {response.text}"
            problem(response, 415, "unsupported_media_type")


def test_a_form_is_taken_only_where_a_form_is_offered(people):
    names = ("login", "refresh", "verify-email", "reset-password", "confirm-email", "accept-invitation")
    taking = {f"/api/auth/{name}" for name in names}
    for who, method, path in endpoints(people):
        response = who.request(method, path, data="a=1", content_type="application/x-www-form-urlencoded")
        taken = path in taking or path.startswith("/unsubscribe/")
        assert response.status_code == (422 if taken else 415), path
        if response.mimetype != "text/html":  # a page's own form gets the page again
            problem(response, 422 if taken else 415)


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_over_the_limit_is_a_413(people, app, chunked):
    data = b'{"a": "' + b"x" * app.config["MAX_CONTENT_LENGTH"] + b'"}'
    how = {"data": data}
    for who, method, path in endpoints(people):
        if chunked:  # no Content-Length: only reading tells how much there is
            how = {"input_stream": io.BytesIO(data), "environ_overrides": {"wsgi.input_terminated": True}}
        response = who.request(method, path, content_type="application/json", **how)
        problem(response, 413, "request_entity_too_large")


def test_a_form_over_the_limit_is_a_413(client, app):
    data = b"password=" + b"x" * app.config["MAX_CONTENT_LENGTH"]
    form = "application/x-www-form-urlencoded"
    problem(client.post("/api/auth/login", data=data, content_type=form), 413)


def test_a_content_length_that_lies_breaks_nothing(api):
    for length in ("-1", "x", "1e9", "99999999999999999999", ""):
        response = api.post(
            "/api/deliveries",
            input_stream=io.BytesIO(b'{"a": 1}'),
            content_type="application/json",
            environ_overrides={"CONTENT_LENGTH": length},
        )
        assert response.status_code in {400, 413}, length


def test_a_body_is_read_as_utf8(api):
    for content_type in ("application/json", "application/json; charset=UTF-8", 'application/json;charset="utf8"'):
        body = '{"item_name": "Žluťoučký kůň 🐎 \\ud83d\\udc0e"}'.encode()
        errors = wrong(api.post("/api/deliveries", data=body, content_type=content_type))
        assert errors == {"/recipient": "required", "/destination": "required"}


def test_nul_is_named_by_its_pointer(api):
    body = delivery_in(item_name="a\0b", tags=["fine", "x\0"], recipient={"name": "\0"})
    assert wrong(api.post("/api/deliveries", json=body)) == {
        "/item_name": "invalid",
        "/tags/1": "invalid",
        "/recipient/name": "invalid",
    }


def test_half_a_surrogate_pair_is_named_by_its_pointer(api):
    body = b'{"item_name": "\\ud800", "tags": ["fine", "x\\udc00"], "a\\ud800b": 1}'
    found = wrong(api.post("/api/deliveries", data=body, content_type="application/json"))
    assert found == {"/item_name": "invalid", "/tags/1": "invalid", "/ab": "invalid"}


def test_nul_in_a_query_is_named_as_any_other_mistake(api):
    assert wrong(api.get("/api/deliveries?q=a%00b")) == {"/q": "invalid"}


def test_what_is_too_large_is_told_the_limit(make_app):
    client = make_app(MAX_CONTENT_LENGTH="2000").test_client()
    response = client.post("/api/auth/login", json={"email": "x" * 3000})
    assert "2000 bytes" in problem(response, 413)["detail"]


def test_a_foreign_host_is_called_one(make_app):
    client = make_app(TRUSTED_HOSTS="delivery.example").test_client()
    response = client.get("/api/auth/me", headers={"Host": "elsewhere.example"})
    assert "Host" in problem(response, 400, "bad_request")["detail"]


def test_a_form_with_nul_or_broken_escapes_is_refused(client):
    form = "application/x-www-form-urlencoded"
    problem(client.post("/api/auth/login", data="username=a%00b&password=c", content_type=form), 422)
    problem(client.post("/api/auth/login", data="username=%ff%fe&password=%zz", content_type=form), 401)
    problem(client.post("/api/auth/login", data=b"username=\xff&password=\xfe", content_type=form), 422)
    problem(client.post("/api/auth/login", data="&" * 1000 + "=" * 1000, content_type=form), 422)


def test_countless_mistakes_get_a_short_answer(api):
    """A small request must not buy a large answer."""
    for name, body in {
        "unknown fields": {f"field{number}": 1 for number in range(5000)},
        "wrong items": {"tags": [1] * 20_000},
        "NUL under a long path": {"x" * 50_000: ["\0"] * 20_000},
    }.items():
        response = api.post("/api/deliveries", json=body)
        assert len(problem(response, 422)["errors"]) == 100, name
        assert len(response.data) < 50_000, name


def test_of_a_name_that_stands_twice_the_last_counts_and_of_a_parameter_the_first(api):
    text = json.dumps(delivery_in()).replace("{", '{"item_name": "Lamp", ', 1)
    made = api.post("/api/deliveries", data=text, content_type="application/json")
    assert (made.status_code, made.json["item_name"]) == (201, delivery_in()["item_name"])
    api.create()
    assert len(api.get("/api/deliveries?limit=1&limit=2").json["items"]) == 1
