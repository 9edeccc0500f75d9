"""What production refuses, and the keys that development makes for itself."""

import errno
import fcntl
import os
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path

import pytest

from config import Config
from tests.settings import PRODUCTION, refused

ROOT = Path(__file__).parent.parent


def development(tmp_path, **environ):
    return Config({"DATA_DIR": str(tmp_path), **environ})


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
        "q7Vd2-LzX9m" * 3 + "q7Vd",
        "a" * 31 + "b",
        "01230123012301230123012301230124",
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
        ({"METRICS_TOKEN": PRODUCTION["SECRET_KEY"]}, "METRICS_TOKEN"),
        ({"JWT_SECRET_KEY": f"{PRODUCTION['SECRET_KEY']} "}, "JWT_SECRET_KEY"),
        ({"WEBHOOK_ENCRYPTION_KEYS": PRODUCTION["SECRET_KEY"]}, "WEBHOOK_ENCRYPTION_KEYS"),
        ({"DATABASE_REPLICA_URL": f"postgresql://d:{PRODUCTION['SECRET_KEY']}@db-2/d"}, "DATABASE_REPLICA_URL"),
        ({"REDIS_URL": "redis://:Vb7%2Dw2Kq9_Zt@redis"}, "REDIS_URL"),
        ({"REDIS_URL": "redis+sentinel://:m4Xr-Tq81_Lw@a/m?sentinel_password=Vb7-w2Kq9_Zt"}, "REDIS_URL"),
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
        ({"DATABASE_URL": "postgresql://delivery:x@db/delivery"}, "DATABASE_URL"),
        ({"DATABASE_URL": "postgresql://delivery:delivery@db/delivery"}, "DATABASE_URL"),
        ({"DATABASE_URL": "postgresql://delivery:change%2Dme@db/delivery"}, "DATABASE_URL"),
        ({"DATABASE_URL": "postgresql://delivery:q7Vd2-LzX9m@db/delivery"}, "DATABASE_URL"),
        ({"DATABASE_URL": "postgresql://ada:delivery_2026@db/delivery_2026"}, "DATABASE_URL"),
        ({"DATABASE_URL": "postgresql://delivery@/delivery?host=db"}, "DATABASE_URL"),
        ({"DATABASE_URL": "postgresql://delivery@/delivery?host=/run/postgresql&host=db"}, "DATABASE_URL"),
        ({"DATABASE_REPLICA_URL": "postgresql://delivery:postgres@db/delivery"}, "DATABASE_REPLICA_URL"),
        ({"REDIS_URL": "redis://:password1@redis"}, "REDIS_URL"),
        ({"REDIS_URL": "redis://:password1@127.0.0.1"}, "REDIS_URL"),
        ({"REDIS_URL": "redis://:q7Vd2-LzX9m@redis"}, "REDIS_URL"),
        ({"REDIS_URL": "redis://delivery-worker:delivery-worker@redis"}, "REDIS_URL"),
        ({"REDIS_URL": "redis://redis:6379/0"}, "REDIS_URL"),
        ({"REDIS_URL": "rediss://delivery@redis"}, "REDIS_URL"),
        ({"REDIS_URL": "redis+sentinel://127.0.0.1,redis/master"}, "REDIS_URL"),
        ({"REDIS_URL": "redis+sentinel://:password1@a:1,b:2/master"}, "REDIS_URL"),
        ({"REDIS_URL": "redis+sentinel://:Vb7%2Dw2Kq9_Zt@a:1,b:2/master"}, "REDIS_URL"),
        ({"REDIS_URL": "redis+sentinel://:m4Xr-Tq81_Lw@a,b/m?sentinel_password=password1"}, "REDIS_URL"),
        ({"SMTP_USER": "u", "SMTP_PASSWORD": "password1"}, "SMTP_PASSWORD"),
        ({"SMS_API_SECRET": "qwerty"}, "SMS_API_SECRET"),
        ({"SMTP_USER": "ada@shop.example", "SMTP_PASSWORD": "ada@shop.example"}, "SMTP_PASSWORD"),
        ({"METRICS_TOKEN": "qwerty"}, "METRICS_TOKEN"),
        ({"METRICS_TOKEN": "q7Vd2-LzX9m"}, "METRICS_TOKEN"),
        ({"WEBHOOK_ENCRYPTION_KEYS": "!!no base64!!"}, "WEBHOOK_ENCRYPTION_KEYS"),
        ({"TWILIO_BASE_URL": "http://api.twilio.com"}, "TWILIO_BASE_URL"),
        ({"SNS_ENDPOINT_URL": "http://sns.example.org:4100"}, "SNS_ENDPOINT_URL"),
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
        {"REDIS_URL": "redis://localhost:6379/0"},
        {"REDIS_URL": "redis://[::1]:6379/0"},
        {"REDIS_URL": "unix:///run/valkey.sock?db=0"},
        {"REDIS_URL": "redis+sentinel://127.0.0.1:26379,[::1]:26379/master/0"},
        {"DATABASE_REPLICA_URL": "postgresql://delivery:Vb7-w2Kq9_Zt@db-2/delivery"},
        {"REDIS_URL": "redis+sentinel://:m4Xr-Tq81_Lw@a,b/m?sentinel_password=m4Xr-Tq81_Lw"},
        {"REDIS_URL": "rediss+sentinel://:m4Xr-Tq81_Lw@redis-1,redis-2:26380/delivery.main"},
        {"TWILIO_BASE_URL": "http://127.0.0.1:4010", "SNS_ENDPOINT_URL": "http://localhost:4100"},
        {"TWILIO_BASE_URL": "HTTPS://twilio.example.org"},
        {"SMTP_USER": "u", "SMTP_PASSWORD": "Jx4_Rt8-vQ2m"},
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
        ({"SMS_PROVIDER": "twilio", "SMS_API_KEY": "AC1", "SMS_API_SECRET": "c81e728d9d4c"}, ["SMS_FROM"]),
        ({"SMS_PROVIDER": "sns", "SMS_API_KEY": "AKIA1"}, ["SMS_API_SECRET"]),
        ({"SMTP_USER": "delivery"}, ["SMTP_PASSWORD"]),
    ],
)
def test_a_provider_without_its_credentials_is_refused_everywhere(base, given, missing):
    assert list(refused(base | given)) == missing


def test_development_refuses_none_of_this(tmp_path):
    config = development(
        tmp_path,
        FLASK_DEBUG="1",
        SECRET_KEY="changeme",
        JWT_SECRET_KEY="changeme",
        PUBLIC_BASE_URL="http://delivery.example.org",
        DATABASE_URL="postgresql://postgres:postgres@db/delivery",
        SMTP_HOST="mail.example.org",
        SMTP_TLS="none",
    )

    assert config.SECRET_KEY == "changeme"


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
    assert (tmp_path / "secrets.env").read_text() == f"SECRET_KEY=kept\nJWT_SECRET_KEY={config.JWT_SECRET_KEY}\n"


def test_a_process_waits_until_another_has_written_the_file(tmp_path):
    with (tmp_path / "secrets.env").open("w") as file, ThreadPoolExecutor(1) as pool:
        fcntl.flock(file, fcntl.LOCK_EX)
        second = pool.submit(development, tmp_path)

        assert not wait([second], timeout=0.3).done
        file.write("SECRET_KEY=first\nJWT_SECRET_KEY=other\n")
        file.close()

        assert second.result().SECRET_KEY == "first"


def test_processes_that_start_together_agree(tmp_path):
    script = "from config import Config; c = Config(); print(c.SECRET_KEY, c.JWT_SECRET_KEY)"
    environ = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "DATA_DIR": str(tmp_path / "data")}

    def start(_):
        return subprocess.check_output([sys.executable, "-c", script], env=environ, cwd=tmp_path)

    with ThreadPoolExecutor(6) as pool:
        assert len(set(pool.map(start, range(6)))) == 1


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").touch()

    told = refused({"DATA_DIR": str(tmp_path / "file" / "below")})
    assert told == {"DATA_DIR": "a folder that this user can write to (Not a directory)"}


def test_a_full_disk_is_called_so_and_no_empty_file_is_left(tmp_path, monkeypatch, capsys):
    def full(*_given):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("config_sources._write", full)
    monkeypatch.setenv("DATA_DIR", str(tmp_path))
    with pytest.raises(SystemExit) as ended:
        Config.load_or_exit()
    assert ended.value.code == os.EX_IOERR
    assert (
        "DATA_DIR: expected a folder that this user can write to (No space left on device)" in capsys.readouterr().err
    )
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "secrets.env").write_text("# of somebody\n")
    with pytest.raises(SystemExit):
        Config.load_or_exit()
    assert (tmp_path / "secrets.env").read_text() == "# of somebody\n"


@pytest.mark.parametrize(("name", "weak"), [("ARGON2_MEMORY_KIB", "19455"), ("ARGON2_TIME_COST", "1")])
def test_production_refuses_password_hashes_below_owasps_least(name, weak):
    assert set(refused({**PRODUCTION, name: weak})) == {name}
