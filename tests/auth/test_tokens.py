"""Access tokens: ours, of the right kind, in time, and alive; everything else is one and the same 401."""

import base64
import hmac
import json
import re
import time

import jwt
import pytest
from flask_jwt_extended import create_access_token, create_refresh_token

from delivery import tokens
from tests.auth.links import link_token, register
from tests.auth.signing_in import login
from tests.web.answers import problem

NOBODYS = "0190a0a0-0000-7000-8000-000000000000"
TYP = {"typ": "at+jwt"}


@pytest.fixture
def forge(app, api):
    """Make a token like the caller's own, with other claims, another key, ...; None takes a claim away."""
    key = app.config["JWT_SECRET_KEY"]
    good = jwt.decode(api.headers["Authorization"].removeprefix("Bearer "), options={"verify_signature": False})

    def make(*, secret=key, algorithm="HS256", headers=TYP, **claims):
        payload = {name: value for name, value in {**good, **claims}.items() if value is not None}
        return jwt.encode(payload, secret, algorithm=algorithm, headers=headers)

    make.good = good
    return make


def me(client, token, scheme="Bearer"):
    return client.get("/api/auth/me", headers={"Authorization": f"{scheme} {token}"})


def test_a_token_says_what_it_must(api):
    token = api.headers["Authorization"].removeprefix("Bearer ")
    header = jwt.get_unverified_header(token)
    claims = jwt.decode(token, options={"verify_signature": False})

    assert header == {"alg": "HS256", "typ": "at+jwt"}
    assert claims["sub"] == api.user_id
    assert (claims["iss"], claims["aud"], claims["type"]) == ("delivery", "delivery", "access")
    assert claims["exp"] - claims["iat"] == 1800
    assert claims["epoch"] == 1
    assert claims.keys() >= {"sid", "jti", "nbf"}
    assert "email" not in claims
    assert "role" not in claims, "what a token says about a role would outlive the role"


def test_a_forged_copy_of_a_good_token_is_good(client, forge):
    """The control: what the other tests change is all that makes them fail."""
    assert me(client, forge()).status_code == 200


def recoded(token, *, key=None, **header):
    """The same claims under another header, signed anew by hand when there is a key."""
    _, payload, signature = token.split(".")
    signed = f"{part({**TYP, **header})}.{payload}"
    if key:
        signature = part(hmac.digest(key.encode(), signed.encode(), "sha256"))
    return f"{signed}.{signature}"


def test_a_token_that_is_not_ours_is_refused(app, client, forge):
    now = int(time.time())
    forged = {
        "no signature": forge(secret="", algorithm="none"),
        "another key": forge(secret="x" * 32),
        "HS384": forge(algorithm="HS384"),
        "HS512": forge(algorithm="HS512"),
        "a key id": forge(secret="x" * 32, headers={**TYP, "kid": "../../dev/null"}),
        "a key address": forge(secret="x" * 32, headers={**TYP, "jku": "https://evil.example/keys", "x5u": "file:///"}),
        "an embedded key": forge(secret="x" * 32, headers={**TYP, "jwk": {"kty": "oct", "k": "eA"}}),
        "an algorithm without case": recoded(forge(), alg="hs256"),
        "RS256, signed with our key": recoded(forge(), key=app.config["JWT_SECRET_KEY"], alg="RS256"),
        "ES256, signed with our key": recoded(forge(), key=app.config["JWT_SECRET_KEY"], alg="ES256"),
        "none, signed with our key": recoded(forge(), key=app.config["JWT_SECRET_KEY"], alg="none"),
        "no algorithm": recoded(forge(), key=app.config["JWT_SECRET_KEY"], alg=None),
        "signed with the other key": forge(secret=app.config["SECRET_KEY"]),
        "a kid that is a query": forge(secret="x" * 32, headers={**TYP, "kid": "' UNION SELECT 'x"}),
        "a critical extension": forge(headers={**TYP, "crit": ["b64"], "b64": False}),
        "another issuer": forge(iss="evil"),
        "no issuer": forge(iss=None),
        "another audience": forge(aud="evil"),
        "several audiences, none of them ours": forge(aud=["evil", "Delivery"]),
        "no audience": forge(aud=None),
        "expired": forge(exp=now - 60, iat=now - 3600, nbf=now - 3600),
        "just expired": forge(exp=now - 1),
        "expired within the skew that clocks may have": forge(exp=now - 5, iat=now - 3600, nbf=now - 3600),
        "no expiry": forge(exp=None),
        "not yet": forge(nbf=now + 3600),
        "not yet, by a minute": forge(nbf=now + 60),
        "a start that is a word": forge(nbf="now"),
        "from the future": forge(iat=now + 3600),
        "a refresh token": forge(type="refresh"),
        "another kind": forge(headers={"typ": "JWT"}),
        "no session": forge(sid=None),
        "nobody's session": forge(sid=NOBODYS),
        "a session that is none": forge(sid="1"),
        "a session that is a number": forge(sid=1),
        "a session that is a list": forge(sid=["a"]),
        "another epoch": forge(epoch=2),
        "no epoch": forge(epoch=None),
        "an epoch that is a word": forge(epoch="x"),
        "an endless epoch": forge(epoch=2**70),
        "an endless expiry": forge(exp=10**400),
        "an expiry that is a list": forge(exp=[1]),
    }
    for name, token in forged.items():
        response = me(client, token)
        assert response.status_code == 401, f"{name}: {response.text}"
        problem(response, 401, "unauthorized")
        assert response.headers["WWW-Authenticate"] == 'Bearer error="invalid_token"', name


def test_a_token_does_not_choose_whom_it_is_for(client, people, forge):
    """The session decides; a claim that contradicts it makes nobody somebody else."""
    assert me(client, forge(sub=people.admin().user_id, role="admin")).json["role"] == "customer"


def test_the_librarys_own_tokens_are_none_of_ours(app, api, client, forge):
    with app.app_context():
        own = {"sid": forge.good["sid"], "epoch": 1}
        made = [
            create_refresh_token(api.user_id, additional_claims=own),
            create_refresh_token(api.user_id, additional_claims=own, additional_headers=TYP),
            create_access_token(api.user_id),
            create_access_token(api.user_id, additional_headers=TYP),
        ]
    for token in made:
        problem(me(client, token), 401)


def test_a_link_is_no_token(app, client):
    register(client, "ada@shop.example")
    problem(me(client, link_token(app, "ada@shop.example")), 401)
    with app.app_context():
        problem(me(client, tokens.issue(tokens.Purpose.VERIFY_EMAIL, {"sid": NOBODYS, "epoch": 1})), 401)


def part(data):
    raw = data if isinstance(data, bytes) else json.dumps(data).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def test_garbage_is_refused(client, forge):
    header, payload, signature = forge().split(".")
    headers = [
        b"null",
        b"\xff\xfe",
        b"[" * 50_000,
        [],
        {},
        {"alg": None},
        {"alg": ["HS256"]},
        {"alg": "HS256", "typ": 5},
    ]
    garbage = [
        "", " ", ".", "..", "...", "a.b.c", "null", "\x00", "é.é.é", "%00", "{}",
        "x" * 10_000, "." * 10_000, "=" * 5000, "A" * 5000 + ".A.A",
        header, f"{header}.{payload}", f"{header}.{payload}.", f"{header}..{signature}", f".{payload}.{signature}",
        f"{header}.{payload}.{signature}x", f"{header}.{payload}.{signature[:-2]}", f"{header},{payload},{signature}",
        f"{header}.{payload}.{signature}.{signature}", f"{header}.{part(b'[' * 50_000)}.{signature}",
        f"{part({'alg': 'none'})}.{payload}.", *(f"{part(other)}.{payload}.{signature}" for other in headers),
    ]  # fmt: skip
    for token in garbage:
        response = me(client, token)
        assert response.status_code == 401, f"{token[:60]!r}: {response.text}"
        problem(response, 401, "unauthorized")


def test_the_scheme_must_be_bearer(client, api):
    token = api.headers["Authorization"].removeprefix("Bearer ")
    for scheme in ("Bearer", "bearer", "BEARER"):
        assert me(client, token, scheme).status_code == 200
    schemes = ["Basic {}", "Token {}", "Bearer{}", "Bearer: {}", "Digest username={}", "{}", "Bearer", "Basic Og=="]
    for form in [*schemes, "Bearer {}, Bearer x", "Bearer {} x", "Bearer x {}"]:
        problem(client.get("/api/auth/me", headers={"Authorization": form.format(token)}), 401)


def test_a_token_is_taken_from_nowhere_else(client, api):
    token = api.headers["Authorization"].removeprefix("Bearer ")
    client.set_cookie("access_token_cookie", token)
    for query in ("access_token", "jwt", "token"):
        problem(client.get(f"/api/auth/me?{query}={token}"), 401)
    for header in ("X-Access-Token", "Proxy-Authorization", "X-Authorization"):
        problem(client.get("/api/auth/me", headers={header: f"Bearer {token}"}), 401)


def test_a_token_dies_of_age(client, api, travel):
    travel(minutes=29)
    assert api.get("/api/auth/me").status_code == 200
    travel(minutes=2)
    problem(api.get("/api/auth/me"), 401)


def test_how_long_a_token_lives_is_a_setting(make_app, people):
    people.customer(email="ada@shop.example")
    client = make_app(ACCESS_TOKEN_EXPIRE_MINUTES="5").test_client()
    assert login(client, "ada@shop.example").json["expires_in"] == 300


def test_every_door_is_locked(app, client):
    """Whatever a signed-in view is asked, and by whichever method, it asks who is there first."""
    for rule in app.url_map.iter_rules():
        if getattr(app.view_functions[rule.endpoint], "access", "") != "signed_in":
            continue
        path = re.sub(r"<uuid:\w+>", NOBODYS, rule.rule)
        for method in rule.methods - {"OPTIONS"}:
            for headers in ({}, {"Authorization": "Bearer x.y.z"}):
                response = client.open(path, method=method, headers=headers, data=b"{", content_type="text/plain")
                assert response.status_code == 401, (method, path)
