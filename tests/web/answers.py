"""Reading problem answers, with a look at what each of them must have."""

from http import HTTPStatus

MEMBERS = {"type", "title", "status", "detail", "code", "request_id"}
# What only a library, a database or a stack trace would say.
INNER_WORDS = ("psycopg", "sqlite3", "sqlalchemy", "Traceback", "SELECT ", "INSERT ", "UPDATE ", "uq_", "fk_", "ck_")


def problem(response, status, code=None):
    """Return the body of an error answer, after checking all that RFC 9457 and our contract want of it."""
    assert response.status_code == status, response.text
    assert response.mimetype == "application/problem+json"
    body = response.json
    assert body.keys() >= MEMBERS
    assert body["status"] == status
    assert body["title"] == HTTPStatus(status).phrase
    assert body["type"] == f"urn:delivery:problem:{body['code']}"
    assert body["request_id"] == response.headers["X-Request-ID"]
    assert body["detail"]
    assert response.headers["Cache-Control"] == "no-store"
    assert not [word for word in INNER_WORDS if word in response.text]
    if code is not None:
        assert body["code"] == code, body
    return body


def wrong(response):
    """Return {pointer: code} of a 422."""
    errors = problem(response, 422)["errors"]
    assert all(error.keys() == {"pointer", "code", "message"} and error["message"] for error in errors)
    return {error["pointer"]: error["code"] for error in errors}
