"""The settings: how they are read, and how a wrong value is told."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from flask import Flask
from redis.connection import parse_url

from config import SETTINGS, Config, ConfigError
from tests.settings import PRODUCTION, refused

ROOT = Path(__file__).parent.parent


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


def test_a_setting_may_stand_in_a_file(tmp_path):
    (tmp_path / "key").write_text(f"{PRODUCTION['SECRET_KEY']}\n")
    (tmp_path / "empty").touch()
    environ = PRODUCTION | {"SECRET_KEY": "", "SECRET_KEY_FILE": str(tmp_path / "key")}

    config = Config(environ | {"SMTP_PASSWORD_FILE": str(tmp_path / "empty")})

    assert (PRODUCTION["SECRET_KEY"], "") == (config.SECRET_KEY, config.SMTP_PASSWORD)


def test_a_file_is_held_to_the_same_rules(tmp_path):
    (tmp_path / "key").write_text("CHANGE-ME-to-32-or-more-random-bytes")

    assert set(refused(PRODUCTION | {"SECRET_KEY": "", "SECRET_KEY_FILE": str(tmp_path / "key")})) == {"SECRET_KEY"}


def test_a_file_that_cannot_be_read_and_a_second_value_are_refused(tmp_path):
    (tmp_path / "odd").write_bytes(b"\xff")
    files = {"REDIS_URL_FILE": str(tmp_path / "gone"), "SMTP_PASSWORD_FILE": str(tmp_path / "odd")}
    twice = {"SECRET_KEY": "one", "SECRET_KEY_FILE": str(tmp_path / "odd")}

    assert set(refused(files)) == set(files)
    assert refused(twice)["SECRET_KEY"] == "nothing beside SECRET_KEY_FILE"


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
        ("DATABASE_REPLICA_URL", "sqlite:////srv/delivery.sqlite3"),
        ("DB_REPLICA_MAX_LAG_SECONDS", "1"),
        ("REDIS_URL", "http://redis"),
        ("REDIS_URL", "redis://"),
        ("REDIS_URL", "redis://:hidden@h:port"),
        ("REDIS_URL", "redis://[::1"),
        ("REDIS_URL", "unix://"),
        ("REDIS_URL", "redis+sentinel://h:1,h:2"),
        ("REDIS_URL", "redis+sentinel://h:port/master"),
        ("REDIS_URL", "redis+sentinel://h:1,/master"),
        ("REDIS_URL", "redis+sentinel://:hidden@h:1/master/first"),
        ("REDIS_URL", "redis+sentinel://h:1/master?password=hidden"),
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
        ("COMPANY_NAME", "\udcff"),
        ("SMTP_USER", "jörg"),
        ("SMTP_PASSWORD", "pässword"),
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
