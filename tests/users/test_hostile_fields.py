"""Every field of an account gets every hostile value: refused, or kept so that everybody can read it again."""

import itertools

from delivery.notifications.channels import Letter
from delivery.notifications.rendering import letter
from tests.web.answers import problem, wrong
from tests.web.elsewhere import elsewhere
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
        for path in ("request-verification", "request-password-reset"):
            response = client.post(f"/api/auth/{path}", json={"email": value}, **elsewhere())
            assert response.status_code in {202, 422}, f"{value!r:.80}"
        for path, more in (("verify-email", {}), ("confirm-email", {}), ("reset-password", {"password": "x"})):
            response = client.post(f"/api/auth/{path}", json={"token": value, **more}, **elsewhere())
            assert response.status_code in {400, 422}, f"{value!r:.80}"


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
    context = {"name": markup, "company": "Delivery"}
    made = letter("already_registered", locale="en", channel="mail", address="a@b.example", context=context)
    assert isinstance(made, Letter)
    assert "<script" not in made.html
    assert "{{7*7}}" in made.text
    assert "\n" not in made.subject


def test_numbers_that_nobody_should_call_are_refused(client):
    refused = [
        "+19005550123", "+0", "+44", "07946 000000", "12345", "+4420794600001234567890", "call me", "+1 555",
        "+1-800-FLOWERS", "tel:+442079460000", "+442079460000 ext. 12", "+00442079460000",
    ]  # fmt: skip
    for phone in refused:
        assert wrong(client.post("/api/users", json={**BODY, "phone": phone})) == {"/phone": "invalid"}, phone


def test_one_account_a_casefold_and_no_look_alikes(client, people):
    """Case is folded; what merely looks like a letter, or folds to several, is refused: nobody gets another's mail."""
    admin = people.admin()
    assert admin.post("/api/users", json={**BODY, "email": "strasse.kim@shop.example"}).status_code == 201
    for same in ("STRASSE.KIM@shop.example", " Strasse.Kim@SHOP.EXAMPLE ", "strasse.kim@Shop.example"):
        problem(admin.post("/api/users", json={**BODY, "email": same}), 409, "email_taken")
    look_alikes = [
        "stra\u00dfe.kim@shop.example", "strasse.\u212aim@shop.example", "strasse.k\u0131m@shop.example",
        "strasse.\u043aim@shop.example", "\u017ftrasse.kim@shop.example", "strasse.kim@\u017fhop.example",
        "strasse.kim\u200b@shop.example", "strasse.kim@shop.example\u3002", "strasse.kim@\uff53hop.example",
    ]  # fmt: skip
    for address in look_alikes:
        response = admin.post("/api/users", json={**BODY, "email": address})
        assert response.status_code in {409, 422}, ascii(address)
    for longest, status in (
        ("a" * 64 + "@" + "b" * 60 + ".example", 201),
        ("a" * 64 + "@" + "b." * 100 + "example", 422),
    ):
        assert admin.post("/api/users", json={**BODY, "email": longest}).status_code == status
    for host in ("b\u00fccher.example", "B\u00dcCHER.example", "xn--bcher-kva.example", "bu\u0308cher.example"):
        response = admin.post("/api/users", json={**BODY, "email": f"kim@{host}"})
        assert response.status_code == (201 if host == "b\u00fccher.example" else 409), ascii(host)
    emails = [user["email"] for user in admin.get("/api/users").json["items"]]
    assert all(email == email.casefold() for email in emails)


def test_what_has_another_type_is_refused(people):
    """H11: a number for a text, a text for a flag; nothing is turned into what it is not."""
    admin = people.admin()
    path = f"/api/users/{people.customer().user_id}"
    for field, value in itertools.product(FIELDS, (True, 1, 1.0, [], {}, ["a"], {"a": "b"})):
        assert wrong(admin.post("/api/users", json={**BODY, field: value})) == {f"/{field}": "invalid"}, (field, value)
    for field, value in itertools.product(("name", "phone", "locale", "time_zone", "role"), (True, 1, [], {})):
        assert wrong(admin.patch(path, json={field: value}, headers={"If-Match": "*"})) == {f"/{field}": "invalid"}
    for value in ("true", 1, 1.0, "1", [], {}):
        assert wrong(admin.patch(path, json={"active": value}, headers={"If-Match": "*"})) == {"/active": "invalid"}
    assert admin.get(path).json["version"] == 1


def test_what_is_not_for_the_asker_to_say_is_unknown(people, client):
    """H10: not for strangers, and not for admins."""
    for who in (client, people.admin()):
        for name in ("id", "version", "created_at", "erased_at", "owner_id", "state", "__class__", "email ", "Email"):
            assert wrong(who.post("/api/users", json={**BODY, name: "x"})) == {f"/{name}": "unknown"}, name


def test_one_address_is_one_account_however_it_is_written(people):
    """H21: case is folded and dots are not; what only looks like a letter is none."""
    admin = people.admin()

    def make(email):
        return admin.post("/api/users", json={**BODY, "email": email})

    assert make("kim.w@x.example").status_code == 201
    for same in ("KIM.W@X.EXAMPLE", " Kim.W@x.example\t", "kim.w@X.example"):
        problem(make(same), 409, "email_taken")
    for alike in ("\u212aim.w@x.example", "k\u0131m.w@x.example", "k\u0130m.w@x.example", "\u043aim.w@x.example"):
        assert wrong(make(alike)) == {"/email": "invalid"}, ascii(alike)
    assert make("kimw@x.example").status_code == 201
    host = f"{'b' * 63}.{'b' * 63}.{'b' * 61}.example"
    assert len(f"{'a' * 53}@{host}") == 251
    assert make(f"{'a' * 56}@{host}").status_code == 201
    for longer in (f"{'a' * 57}@{host}", f"{'a' * 64}@{host}", "a" * 300 + "@x.example"):
        assert wrong(make(longer)) == {"/email": "invalid"}


def test_markup_in_a_name_is_text_in_every_mail_about_an_account(people):
    """H23, in the mails that are worded from what a stranger typed."""
    markup = '<img src=x onerror="alert(1)">&amp;{{7*7}}{% if 1 %}=cmd()'
    assert people.admin().post("/api/users", json={**BODY, "name": markup}).json["name"] == markup
    context = {"name": markup, "company": "Delivery"}
    linked = {**context, "link": "http://x", "role": "courier"}
    for template, words in (("already_registered", context), ("session_revoked", context), ("invitation", linked)):
        made = letter(template, locale="en", channel="mail", address="a@b.example", context=words)
        assert "<img" not in made.html
        assert "&lt;img" in made.html
        assert markup in made.text


def test_another_persons_id_is_not_there(people):
    """H17: whatever is tried on it."""
    other = people.customer().user_id
    for who in (people.customer(), people.courier(), people.dispatcher()):
        for path in (f"/api/users/{other}", f"/api/users/{other}/deliveries"):
            problem(who.get(path), 404, "not_found")
        for body in ({"name": "B"}, {"role": "admin"}, {}, {"x": 1}):
            problem(who.patch(f"/api/users/{other}", json=body, headers={"If-Match": "*"}), 404, "not_found")
        problem(who.patch(f"/api/users/{other}", json={"name": "B"}), 404, "not_found")
        problem(who.delete(f"/api/users/{other}", headers={"If-Match": "*"}), 404, "not_found")
    admin = people.admin()
    for nobody in ("01890a5d-ac96-774b-bcce-b302099a8057", "1", "me", "%00", "..%2f"):
        assert admin.get(f"/api/users/{nobody}").status_code == 404
