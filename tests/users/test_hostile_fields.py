"""Every field of an account gets every hostile value: refused, or kept so that everybody can read it again."""

import itertools

from delivery.notifications.channels import Letter
from delivery.notifications.rendering import letter
from tests.web.answers import problem, wrong
from tests.web.hostile import A_FEW, ADDRESSES, EVERYTHING, TEXTS

BODY = {"name": "Ada", "email": "ada@shop.example", "password": "correct horse battery"}
FIELDS = ["name", "email", "password", "phone", "locale", "time_zone", "role"]


def test_creating_refuses_or_keeps(people):
    admin = people.admin()
    numbers = itertools.count()
    for field in FIELDS:
        for value in EVERYTHING:
            body = {**BODY, "email": f"user{next(numbers)}@x.example", field: value}
            response = admin.post("/api/users", json=body)
            assert response.status_code in {201, 409, 422}, f"{field} = {value!r:.80}: {response.text:.300}"
            if response.status_code != 201:
                problem(response, response.status_code)
                continue
            made = response.json
            assert admin.get(f"/api/users/{made['id']}").json == made, f"{field} = {value!r:.80}"
    assert admin.get("/api/users?limit=100").status_code == 200


def test_changing_refuses_or_keeps(people):
    admin, other = people.admin(), people.customer()
    path = f"/api/users/{other.user_id}"
    fields = ["name", "phone", "locale", "time_zone", "role", "active"]
    for field, value in itertools.product(fields, A_FEW + ADDRESSES):
        response = admin.patch(path, json={field: value}, headers={"If-Match": "*"})
        assert response.status_code in {200, 422}, f"{field} = {value!r:.80}: {response.text:.300}"
        assert admin.get(path).status_code == 200


def test_signing_in_and_asking_for_a_link_survive_everything(client, travel):
    for value in EVERYTHING:
        travel(minutes=16)  # past the limit of failures
        for body in ({"email": value, "password": "x"}, {"email": "a@b.example", "password": value}):
            assert client.post("/api/auth/login", json=body).status_code in {401, 422}, f"{value!r:.80}"
        assert client.post("/api/auth/refresh", json={"refresh_token": value}).status_code in {401, 422}, (
            f"{value!r:.80}"
        )
        response = client.post("/api/auth/request-verification", json={"email": value})
        assert response.status_code in {202, 422}, f"{value!r:.80}"
        assert client.post("/api/auth/verify-email", json={"token": value}).status_code in {400, 422}, f"{value!r:.80}"


def test_searching_survives_everything(people):
    admin = people.admin()
    for text in TEXTS:
        assert admin.get("/api/users", query_string={"q": text}).status_code in {200, 422}, f"{text!r:.80}"
    for query in (
        "role=nobody",
        "role=",
        "limit=0",
        "colour=red",
        "cursor=x" * 200,
        "q=",
        "q=%00",
        "active=maybe",
        "verified=2",
    ):
        assert len(wrong(admin.get(f"/api/users?{query}"))) == 1, query


def test_an_address_cannot_carry_another_header_or_address(client):
    hostile = [
        "a@b.example\r\nBcc: c@d.example", "a@b.example\nX: y", "a@b.example, c@d.example", "a@b.example;c@d.example",
        "a@b.example c@d.example", "<a@b.example>", "A <a@b.example>", "a@b.example>", "a b@c.example", "a@",
        "@b.example", "a", "a@b@c.example", "a@-b.example", "a@b..example", ".a@b.example", "a.@b.example",
        "a@b_c.example", "a@b.example.", "a@b.example\u2028x", '"a b"@c.example', "a@[127.0.0.1]", '"a"@b.example',
        "a@b.example\u202e", "mailto:a@b.example?cc=c@d.example", "\uff41@b.example", "zo\u00eb@b.example",
    ]  # fmt: skip
    for address in hostile:
        response = client.post("/api/users", json={**BODY, "email": address})
        assert wrong(response) == {"/email": "invalid"}, address


def test_a_name_cannot_begin_a_header_or_run_a_script(people):
    """Names with line ends are refused; markup is text, and the mail says so."""
    admin = people.admin()
    for name in ("a\r\nBcc: all@evil.example", "a\nb", "a\u2028b", "a\u0085b"):
        assert wrong(admin.post("/api/users", json={**BODY, "name": name})) == {"/name": "invalid"}
    markup = "<script>alert(1)</script>{{7*7}}"
    assert admin.post("/api/users", json={**BODY, "name": markup}).json["name"] == markup
    context = {"name": markup, "company": "Delivery", "link": "http://x"}
    made = letter("verify_email", locale="en", channel="mail", address="a@b.example", context=context)
    assert isinstance(made, Letter)
    assert "<script" not in made.html
    assert "{{7*7}}" in made.text
    assert "\n" not in made.subject


def test_numbers_that_nobody_should_call_are_refused(client):
    for phone in ("+19005550123", "+0", "+44", "07946 000000", "12345", "+4420794600001234567890", "call me", "+1 555"):
        assert wrong(client.post("/api/users", json={**BODY, "phone": phone})) == {"/phone": "invalid"}, phone
