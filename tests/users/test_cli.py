"""`flask users`: admins who can sign in, people who are the same for the same seed."""

import click.testing
import pytest
from sqlalchemy import func, select

from delivery.database import db
from delivery.notifications.models import OutboxMessage
from delivery.users import seeding
from delivery.users.models import User
from delivery.users.schemas import Phone
from delivery.users.states import Role
from tests.commands import run, run_json
from tests.conftest import counted, settings

LONG = "a long enough password"


def sign_in(app, email, password):
    return app.test_client().post("/api/auth/login", json={"email": email, "password": password})


def count(app, model, *conditions):
    with app.app_context():
        return db.session.execute(select(func.count()).select_from(model).where(*conditions)).scalar_one()


def test_a_new_admin_can_sign_in_and_do_what_admins_do(app):
    result = run(app, "users", "create-admin", "--email", "Ada@Shop.example", "--name", "Ada", "--password", LONG)
    assert (result.exit_code, result.stdout) == (0, "Added the admin ada@shop.example.\n")
    token = sign_in(app, "ada@shop.example", LONG).json["access_token"]
    listed = app.test_client().get("/api/users", headers={"Authorization": f"Bearer {token}"})
    assert [user["role"] for user in listed.json["items"]] == ["admin"]


def test_a_generated_password_is_long_printed_once_and_works(app):
    user = run_json(app, "users", "create-admin", "--email", "ada@shop.example", "--generate")
    assert len(user["password"]) >= 16
    assert sign_in(app, "ada@shop.example", user["password"]).status_code == 200
    assert user["role"] == "admin"
    assert "password" not in run_json(app, "users", "list")[0]


def test_a_generated_password_is_as_long_as_the_settings_ask_for(make_app):
    app = make_app(PASSWORD_MIN_LENGTH=128)
    user = run_json(app, "users", "create-admin", "--email", "ada@shop.example", "--generate")
    assert sign_in(app, "ada@shop.example", user["password"]).status_code == 200


def test_a_password_may_come_from_standard_input_and_is_not_printed(app):
    result = run(app, "users", "create-admin", "--email", "ada@shop.example", input=f"{LONG}\n")
    assert result.exit_code == 0
    assert LONG not in result.output
    assert sign_in(app, "ada@shop.example", LONG).status_code == 200


def test_at_a_terminal_the_password_is_asked_for_twice_and_not_shown(app, monkeypatch):
    monkeypatch.setattr(click.testing._NamedTextIOWrapper, "isatty", lambda _: True, raising=False)
    typed = f"{LONG}\nsomething else\n{LONG}\n{LONG}\n"
    result = run(app, "users", "create-admin", "--email", "ada@shop.example", input=typed)
    assert result.exit_code == 0
    assert "The two entered values do not match" in result.stderr
    assert LONG not in result.output
    assert sign_in(app, "ada@shop.example", LONG).status_code == 200


def test_a_taken_address_is_one_clear_line_and_exit_code_1(app, people):
    people.customer(email="ada@shop.example")
    result = run(app, "users", "create-admin", "--email", "ada@shop.example", "--generate", "--json")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "Error: A user with this address exists.\n" in result.stderr


def test_a_short_password_is_refused_and_nobody_is_added(app):
    result = run(app, "users", "create-admin", "--email", "ada@shop.example", "--password", "short")
    assert result.exit_code == 1
    assert "password: Must have at least 12 characters." in result.stderr
    assert count(app, User) == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--email", "nonsense", "--generate"], "Not a valid email address"),
        (["--email", "ada@shop.example", "--generate", "--password", LONG], "not both"),
        (["--email", "ada@shop.example"], "No password"),
        (["--generate"], "--email"),
        (["--email", "ada@shop.example", "--generate", "--name", "A\x1bB"], "without control characters"),
        (["--email", "ada@shop.example", "--password", "not \udcff utf-8 at all"], "Must be UTF-8"),
        (["--email", "ada@shop.example", "--password", "x" * 129], "at most 128 characters"),
    ],
)
def test_wrong_use_is_exit_code_2_and_adds_nobody(app, words, said):
    result = run(app, "users", "create-admin", *words)
    assert result.exit_code == 2
    assert said in result.stderr
    assert count(app, User) == 0


def test_seeded_people_have_the_role_are_verified_and_can_sign_in(app):
    said = run_json(app, "users", "seed", "--count", 3, "--role", "courier")
    assert (said["added"], said["already_there"], said["role"]) == (3, 0, "courier")
    listed = run_json(app, "users", "list", "--role", "courier")
    assert len(listed) == 3
    assert all(user["email_verified_at"] and user["active"] for user in listed)
    assert sign_in(app, listed[0]["email"], said["password"]).status_code == 200


def test_seeded_people_can_have_a_given_password_which_is_not_printed(app):
    result = run(app, "users", "seed", "--count", 2, "--password", LONG)
    assert LONG not in result.output
    assert sign_in(app, run_json(app, "users", "list")[0]["email"], LONG).status_code == 200


def test_the_same_seed_adds_only_who_is_missing(app):
    first = run(app, "users", "seed", "--count", 5, "--seed", 1)
    assert "Added 5 customers (seed 1); 0 were there already.\nPassword of those added: " in first.stdout
    again = run_json(app, "users", "seed", "--count", 7, "--seed", 1)
    assert (again["added"], again["already_there"]) == (2, 5)
    assert run(app, "users", "seed", "--count", 7, "--seed", 1).stdout == (
        "Added 0 customers (seed 1); 7 were there already.\n"
    )


def test_another_seed_or_role_gives_other_people(app):
    def emails(**options):
        return {row["email"] for row in seeding.accounts(50, password_hash="", **options)}

    with app.app_context():
        ours = emails(seed=1, role=Role.CUSTOMER)
        assert len(ours) == 50
        assert ours == emails(seed=1, role=Role.CUSTOMER)
        assert not ours & emails(seed=2, role=Role.CUSTOMER)
        assert not ours & emails(seed=1, role=Role.COURIER)


def test_seeded_people_are_nobody_real(app):
    run(app, "users", "seed", "--count", 20)
    for user in run_json(app, "users", "list"):
        assert user["email"].endswith(("@example.com", "@example.net", "@example.org"))
        assert "55501" in user["phone"]
        assert Phone().deserialize(user["phone"]) == user["phone"]


def test_seeding_people_tells_nobody_and_takes_few_statements(app):
    with counted(app) as statements:
        run(app, "users", "seed", "--count", 1000)
    assert count(app, User) == 1000
    assert count(app, OutboxMessage) == 0
    assert len([one for one in statements if one.startswith("INSERT")]) <= 4


def test_the_list_can_be_searched_and_says_when_there_is_more(app, people):
    people.customer(name="Ada Shop")
    people.courier(name="Max Wheel")
    found = run(app, "users", "list", "--search", "ada")
    assert "Ada Shop" in found.stdout
    assert "Max Wheel" not in found.stdout
    assert "There may be more than 1" in run(app, "users", "list", "--limit", 1).stderr
    assert run(app, "users", "list", "--role", "admin").stdout == "There are no such accounts.\n"
    assert run_json(app, "users", "list", "--role", "admin") == []


def test_a_database_without_tables_is_one_clear_line(make_app, tmp_path):
    app = make_app(DATABASE_URL=settings(tmp_path / "new").DATABASE_URL)
    result = run(app, "users", "list")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "Error: The database is out of reach or not migrated; see `flask doctor`.\n" in result.stderr
