"""The settings: how they are read, what is refused, and that the papers say the same."""

import os
import re
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from dotenv import dotenv_values
from flask import Flask
from redis.connection import parse_url

from config import SETTINGS, Config, ConfigError, Derived

ROOT = Path(__file__).parent.parent
PRODUCTION = {
    "ENVIRONMENT": "production",
    "DATABASE_URL": "postgresql://delivery:Vb7-w2Kq9_Zt@db:5432/delivery",
    "REDIS_URL": "redis://:m4Xr-Tq81_Lw@redis:6379/0",
    "SECRET_KEY": "q7Vd2-LzX9mBn4_RtY6wKc1FhJ8sPg3Q",
    "JWT_SECRET_KEY": "Zx5_Tn8vGb2-MkL4pWq9RdC7yHs1JfU6",
    "PUBLIC_BASE_URL": "https://delivery.example.org",
    "TRUSTED_HOSTS": "delivery.example.org",
}


def refused(environ):
    with pytest.raises(ConfigError) as caught:
        Config(environ)
    return caught.value.problems


def development(tmp_path, **environ):
    return Config({"DATA_DIR": str(tmp_path), **environ})


# Reading


def test_development_needs_nothing_and_stays_on_loopback(tmp_path):
    config = development(tmp_path)

    assert (config.ENVIRONMENT, config.HOST, config.PORT) == ("development", "127.0.0.1", 8000)
    assert config.PUBLIC_BASE_URL == "http://127.0.0.1:8000"
    assert config.TRUSTED_HOSTS == ["localhost", "127.0.0.1"]
    assert f"sqlite:///{tmp_path}/delivery.sqlite3" == config.DATABASE_URL
    assert parse_url(config.REDIS_URL)["path"] == f"{tmp_path}/valkey.sock"
    assert (config.REQUIRE_VERIFIED_EMAIL, config.LOG_FORMAT) == (False, "text")


def test_production_has_stricter_defaults():
    config = Config(PRODUCTION)

    assert (config.REQUIRE_VERIFIED_EMAIL, config.LOG_FORMAT, config.SMTP_TLS) == (True, "json", "starttls")


def test_values_have_the_type_that_is_written_beside_their_name(tmp_path):
    config = development(tmp_path)

    for name in SETTINGS:
        written = Config.__annotations__[name]
        assert isinstance(getattr(config, name), getattr(written, "__origin__", written)), name


def test_flask_takes_every_setting_and_nothing_else(tmp_path):
    app = Flask("settings")
    before = set(app.config)

    app.config.from_object(development(tmp_path))

    assert set(app.config) == before | set(SETTINGS)


def test_an_empty_value_is_no_value(tmp_path):
    assert development(tmp_path, PORT="", TRUSTED_HOSTS="").PORT == 8000


def test_lists_are_trimmed_and_lower_case(tmp_path):
    config = development(
        tmp_path, TRUSTED_HOSTS="API.example.org, .example.net,", CORS_ORIGINS="https://App.example.org"
    )

    assert config.TRUSTED_HOSTS == ["api.example.org", ".example.net"]
    assert config.CORS_ORIGINS == ["https://app.example.org"]


def test_choices_and_flags_do_not_mind_letter_case(tmp_path):
    config = development(tmp_path, LOG_LEVEL="debug", REQUIRE_VERIFIED_EMAIL="True")

    assert (config.LOG_LEVEL, config.REQUIRE_VERIFIED_EMAIL) == ("DEBUG", True)


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg"])
def test_postgresql_is_reached_through_psycopg(tmp_path, scheme):
    config = development(tmp_path, DATABASE_URL=f"{scheme}://u:p%40w@db/delivery")

    assert config.DATABASE_URL == "postgresql+psycopg://u:p%40w@db/delivery"


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("0.0.0.0", "http://127.0.0.1:8000"),
        ("::1", "http://localhost:8000"),
        ("192.0.2.7", "http://192.0.2.7:8000"),
    ],
)
def test_links_of_development_lead_to_an_address_that_can_be_visited(tmp_path, host, address):
    assert address == development(tmp_path, HOST=host).PUBLIC_BASE_URL


@pytest.mark.parametrize(("host", "tls"), [("127.0.0.1", "none"), ("localhost", "none"), ("mail.example", "starttls")])
def test_development_sends_mail_in_the_clear_to_loopback_only(tmp_path, host, tls):
    assert tls == development(tmp_path, SMTP_HOST=host).SMTP_TLS


def test_a_folder_with_odd_characters_survives_in_the_addresses(tmp_path):
    folder = tmp_path / "a b#c?d%41"

    config = Config({"DATA_DIR": str(folder)})

    assert parse_url(config.REDIS_URL) | {"connection_class": None} == {
        "path": f"{folder}/valkey.sock",
        "db": 0,
        "connection_class": None,
    }


@pytest.mark.parametrize("host", ["localhost:8000", "127.0.0.1:8000"])
def test_flask_answers_the_default_hosts_and_no_other(tmp_path, host):
    app = Flask("hosts")
    app.config.from_object(development(tmp_path))
    app.add_url_rule("/", view_func=lambda: "here")
    client = app.test_client()

    assert client.get("/", headers={"Host": host}).status_code == 200
    assert client.get("/", headers={"Host": "rebound.example"}).status_code == 400


# Wrong values


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ENVIRONMENT", "staging"),
        ("HOST", "http://x"),
        ("PORT", "abc"),
        ("PORT", "0"),
        ("PORT", "65536"),
        ("PORT", "-1"),
        ("PORT", "8_000"),
        ("PORT", "٣٣٣٣"),
        ("PORT", "9" * 5000),
        ("PROXY_HOPS", "-1"),
        ("DB_POOL_SIZE", "1.5"),
        ("REQUIRE_VERIFIED_EMAIL", "maybe"),
        ("LOG_FORMAT", "xml"),
        ("DATABASE_URL", "mysql://u:hidden@h/d"),
        ("DATABASE_URL", "postgresql+psycopg2://u:hidden@h/d"),
        ("DATABASE_URL", "postgresql://u:hidden@h:port/d"),
        ("DATABASE_URL", "postgresql://u:hidden@h:99999/d"),
        ("DATABASE_URL", "postgresql://u:hidden@h"),
        ("DATABASE_URL", "delivery.sqlite3"),
        ("REDIS_URL", "http://redis"),
        ("REDIS_URL", "redis://"),
        ("REDIS_URL", "redis://:hidden@h:port"),
        ("REDIS_URL", "redis://[::1"),
        ("REDIS_URL", "unix://"),
        ("TRUSTED_HOSTS", "*"),
        ("TRUSTED_HOSTS", "host:8000"),
        ("TRUSTED_HOSTS", "[::1]"),
        ("TRUSTED_HOSTS", "a..b"),
        ("TRUSTED_HOSTS", "x" * 64),
        ("CORS_ORIGINS", "*"),
        ("CORS_ORIGINS", "https://.*"),
        ("CORS_ORIGINS", "https://app.example/path"),
        ("PUBLIC_BASE_URL", "delivery.example.org"),
        ("PUBLIC_BASE_URL", "https://u:p@delivery.example.org"),
        ("PUBLIC_BASE_URL", "https://delivery.example.org/?a=b"),
        ("MAIL_FROM", "nobody"),
        ("COMPANY_NAME", "Parcels\r\nBcc: all@example.org"),
        ("SMTP_USER", "\udcff"),
    ],
)
def test_a_wrong_value_is_named_and_never_shown(tmp_path, name, value):
    with pytest.raises(ConfigError) as caught:
        Config({"DATA_DIR": str(tmp_path), name: value})

    assert str(caught.value) == f"{name}: expected {SETTINGS[name].kind.expected}"


def test_all_wrong_values_are_told_at_once():
    assert list(refused({"PORT": "x", "WEB_THREADS": "0", "SMTP_TLS": "ssl"})) == ["PORT", "SMTP_TLS", "WEB_THREADS"]


def test_wrong_values_leave_no_folder_behind(tmp_path):
    refused({"DATA_DIR": str(tmp_path / "data"), "PORT": "x"})

    assert not (tmp_path / "data").exists()


# Production


def test_production_starts_with_everything_in_order():
    assert Config(PRODUCTION).DATABASE_URL.startswith("postgresql+psycopg://")


@pytest.mark.parametrize("name", ["SECRET_KEY", "JWT_SECRET_KEY", "PUBLIC_BASE_URL", "TRUSTED_HOSTS", "DATABASE_URL"])
def test_production_refuses_what_is_missing(name):
    assert list(refused(PRODUCTION | {name: ""})) == [name]


@pytest.mark.parametrize("name", ["SECRET_KEY", "JWT_SECRET_KEY"])
@pytest.mark.parametrize(
    "value",
    [
        "q7Vd2-LzX9mBn4_RtY6wKc1FhJ8sPg3",
        "a" * 64,
        "q7Vd2-LzX9m" * 4,
        "changeme-q7Vd2-LzX9mBn4_RtY6wKc1FhJ8sPg3Q",
        "my-super-secret-key-that-nobody-will-ever-find",
        "your-256-bit-secret-your-256-bit-secreT",
        "0123456789abcdefghijklmnopqrstuv",
        "192b9bdd22ab9ed4d12e236c78afcb9a393ec15f71bbf5dc987d54727823bcbf",
        "09d25e094faa6ca2556c818166b7a9563b93f7099f6f0f4caa6cf63b88e8d3e7",
    ],
)
def test_production_refuses_short_and_known_secrets(name, value):
    assert list(refused(PRODUCTION | {name: value})) == [name]


@pytest.mark.parametrize(
    ("changed", "name"),
    [
        ({"JWT_SECRET_KEY": PRODUCTION["SECRET_KEY"]}, "JWT_SECRET_KEY"),
        ({"SMTP_PASSWORD": PRODUCTION["SECRET_KEY"]}, "SMTP_PASSWORD"),
        ({"SMS_API_SECRET": PRODUCTION["JWT_SECRET_KEY"]}, "SMS_API_SECRET"),
        ({"REDIS_URL": "redis://:Vb7-w2Kq9_Zt@redis"}, "REDIS_URL"),
    ],
)
def test_production_refuses_one_secret_for_two_purposes(changed, name):
    assert list(refused(PRODUCTION | changed)) == [name]


@pytest.mark.parametrize(
    ("changed", "name"),
    [
        ({"DEBUG": "1"}, "DEBUG"),
        ({"FLASK_DEBUG": "true"}, "FLASK_DEBUG"),
        ({"DATABASE_URL": "sqlite:////srv/delivery.sqlite3"}, "DATABASE_URL"),
        ({"PUBLIC_BASE_URL": "http://delivery.example.org"}, "PUBLIC_BASE_URL"),
        ({"TRUSTED_HOSTS": "*"}, "TRUSTED_HOSTS"),
        ({"DATABASE_URL": "postgresql://delivery@db/delivery"}, "DATABASE_URL"),
        ({"DATABASE_URL": "postgresql://delivery:postgres@db/delivery"}, "DATABASE_URL"),
        ({"DATABASE_URL": "postgresql://delivery:delivery@db/delivery"}, "DATABASE_URL"),
        ({"DATABASE_URL": "postgresql://delivery:change%2Dme@db/delivery"}, "DATABASE_URL"),
        ({"DATABASE_URL": "postgresql://delivery@/delivery?host=db"}, "DATABASE_URL"),
        ({"DATABASE_URL": "postgresql://delivery@/delivery?host=/run/postgresql&host=db"}, "DATABASE_URL"),
        ({"REDIS_URL": "redis://:password1@redis"}, "REDIS_URL"),
        ({"SMTP_HOST": "mail.example.org", "MAIL_FROM": "a@example.org", "SMTP_TLS": "none"}, "SMTP_TLS"),
        ({"SMTP_HOST": "mail.example.org"}, "MAIL_FROM"),
        ({"COMPANY_NAME": "CHANGE-ME"}, "COMPANY_NAME"),
    ],
)
def test_production_refuses_what_is_not_safe(changed, name):
    assert list(refused(PRODUCTION | changed)) == [name]


@pytest.mark.parametrize(
    "changed",
    [
        {"FLASK_DEBUG": "0", "DEBUG": "false"},
        {"DATABASE_URL": "postgresql:///delivery"},
        {"DATABASE_URL": "postgresql://delivery:postgres@127.0.0.1/delivery"},
        {"DATABASE_URL": "postgresql://delivery@[::1]:5432/delivery"},
        {"DATABASE_URL": "postgresql://delivery@/delivery?host=/run/postgresql"},
        {"REDIS_URL": "redis://redis:6379/0"},
        {"REDIS_URL": ""},
        {"SMTP_HOST": "127.0.0.1", "SMTP_TLS": "none", "MAIL_FROM": "Delivery <a@example.org>"},
    ],
)
def test_production_allows_what_stays_on_the_machine_or_is_switched_off(changed):
    Config(PRODUCTION | changed)


@pytest.mark.parametrize("base", [{}, PRODUCTION])
@pytest.mark.parametrize(
    ("given", "missing"),
    [
        ({"SMS_PROVIDER": "twilio"}, ["SMS_API_KEY", "SMS_API_SECRET", "SMS_FROM"]),
        ({"SMS_PROVIDER": "twilio", "SMS_API_KEY": "AC1", "SMS_API_SECRET": "t"}, ["SMS_FROM"]),
        ({"SMS_PROVIDER": "sns", "SMS_API_KEY": "AKIA1"}, ["SMS_API_SECRET"]),
    ],
)
def test_a_provider_without_its_credentials_is_refused_everywhere(base, given, missing):
    assert list(refused(base | given)) == missing


# Development's keys


def test_keys_are_made_once_and_kept_for_their_owner_alone(tmp_path):
    first, second = development(tmp_path / "new"), development(tmp_path / "new")

    keys = (first.SECRET_KEY, first.JWT_SECRET_KEY)
    assert keys == (second.SECRET_KEY, second.JWT_SECRET_KEY)
    assert len(set(keys)) == 2
    assert min(map(len, keys)) >= 32
    assert stat.S_IMODE((tmp_path / "new" / "secrets.env").stat().st_mode) == 0o600


def test_a_given_key_is_used_and_not_written_down(tmp_path):
    config = development(tmp_path, SECRET_KEY="mine")

    assert config.SECRET_KEY == "mine"
    assert "mine" not in (tmp_path / "secrets.env").read_text()


def test_half_a_file_is_completed(tmp_path):
    (tmp_path / "secrets.env").write_text("SECRET_KEY=kept\n# and a long remark of somebody about this file" * 9)

    config = development(tmp_path)

    assert config.SECRET_KEY == "kept"
    assert config.JWT_SECRET_KEY == development(tmp_path).JWT_SECRET_KEY


def test_processes_that_start_together_agree(tmp_path):
    script = "from config import Config; c = Config(); print(c.SECRET_KEY, c.JWT_SECRET_KEY)"
    environ = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "DATA_DIR": str(tmp_path / "data")}

    def start(_):
        return subprocess.check_output([sys.executable, "-c", script], env=environ, cwd=tmp_path)

    with ThreadPoolExecutor(6) as pool:
        assert len(set(pool.map(start, range(6)))) == 1


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").touch()

    assert list(refused({"DATA_DIR": str(tmp_path / "file" / "below")})) == ["DATA_DIR"]


# Starting


def start(tmp_path, **environ):
    """Run load_or_exit in a process of its own, in a folder of its own."""
    return subprocess.run(
        [sys.executable, "-c", "from config import Config; print(Config.load_or_exit().PORT)"],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "DATA_DIR": str(tmp_path / "data"), **environ},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_real_environment_wins_over_the_file(tmp_path):
    (tmp_path / ".env").write_text("PORT=8001\nWEB_WORKERS=x\n")

    assert start(tmp_path, WEB_WORKERS="3").stdout == "8001\n"
    assert start(tmp_path, WEB_WORKERS="3", PORT="8002").stdout == "8002\n"


def test_a_refused_start_prints_a_line_for_each_variable_and_exits_78(tmp_path):
    ended = start(tmp_path, PORT="abc", LOG_LEVEL="loud")

    assert ended.returncode == 78
    assert ended.stdout == ""
    assert ended.stderr.splitlines() == [
        "PORT: expected a whole number from 1 to 65535",
        "LOG_LEVEL: expected `DEBUG` or `INFO` or `WARNING` or `ERROR` or `CRITICAL`",
    ]


def test_an_unreadable_file_is_a_line_too(tmp_path):
    (tmp_path / ".env").write_bytes(b"PORT=\xff\n")

    ended = start(tmp_path)

    assert (ended.returncode, ended.stderr) == (78, ".env: expected a UTF-8 text file that this user may read\n")


@pytest.mark.parametrize(("host", "lines"), [("0.0.0.0", 1), ("127.0.0.1", 0), ("localhost", 0)])
def test_development_off_loopback_is_warned_of(tmp_path, host, lines):
    ended = start(tmp_path, HOST=host)

    assert ended.returncode == 0
    assert len(ended.stderr.splitlines()) == lines


# Papers


def test_every_setting_says_what_it_means_in_a_sentence():
    for name, setting in SETTINGS.items():
        assert setting.meaning.endswith("."), name
        assert "|" not in setting.meaning + setting.kind.expected, name


def test_the_documentation_lists_the_settings_as_they_are():
    page = (ROOT / "docs" / "configuration.md").read_text()

    rows = [line for line in page.splitlines() if line.startswith("| `")]

    assert rows == [
        f"| `{name}` | {kind.expected} | {documented(default)} | {meaning} |"
        for name, (kind, default, meaning) in SETTINGS.items()
    ]


def documented(default):
    if isinstance(default, Derived):
        return default.words
    return f"`{default}`" if default else ""


def explained(name):
    _, default, meaning = SETTINGS[name]
    return f"# {meaning} Default: {default.words}." if isinstance(default, Derived) else f"# {meaning}"


def entries(file):
    """Give the comment and the name of each entry, as they stand in the file."""
    return re.findall(r"^(# .+)\n#?([A-Z0-9_]+)=", (ROOT / file).read_text(), re.MULTILINE)


@pytest.mark.parametrize("file", [".env.example", ".env.prod.example"])
def test_the_examples_list_and_explain_every_setting(file):
    assert entries(file) == [(explained(name), name) for name in SETTINGS]


def uncommented(file, tmp_path):
    copy = tmp_path / "copy.env"
    copy.write_text(re.sub(r"^#(?=[A-Z0-9_]+=)", "", (ROOT / file).read_text(), flags=re.MULTILINE))
    return dotenv_values(copy)


def test_the_example_for_development_holds_the_defaults_and_sets_nothing(tmp_path):
    assert dotenv_values(ROOT / ".env.example") == {}
    assert uncommented(".env.example", tmp_path) == {
        name: "" if isinstance(default, Derived) else default for name, (_, default, _) in SETTINGS.items()
    }


def test_the_example_for_production_is_refused_until_its_placeholders_are_replaced(tmp_path):
    example = dotenv_values(ROOT / ".env.prod.example")
    placeholders = {name for name, value in example.items() if "CHANGE-ME" in value}

    assert set(refused(example)) == placeholders
    assert placeholders > {"SECRET_KEY", "JWT_SECRET_KEY", "DATABASE_URL", "PUBLIC_BASE_URL", "TRUSTED_HOSTS"}
    Config(
        example
        | PRODUCTION
        | {"SMTP_HOST": "mail.example.org", "MAIL_FROM": "a@b.org", "SMTP_USER": "u", "SMTP_PASSWORD": "p"}
    )
    unset = {name: value for name, value in uncommented(".env.prod.example", tmp_path).items() if name not in example}
    assert unset == {name: documented_text(SETTINGS[name].default) for name in unset}


def documented_text(default):
    return "" if isinstance(default, Derived) else default
