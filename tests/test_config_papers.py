"""The page and the examples say the same as the settings."""

import re
from pathlib import Path

import pytest
from dotenv import dotenv_values

from config import SETTINGS, Config, Derived
from tests.settings import PRODUCTION, refused

ROOT = Path(__file__).parent.parent


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


def test_the_readme_lists_every_setting():
    rows = [line for line in (ROOT / "README.md").read_text().splitlines() if line.startswith("| `")]

    assert rows == [f"| `{name}` | {setting.meaning} |" for name, setting in SETTINGS.items()]


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
        | {"SMTP_HOST": "mail.example.org", "MAIL_FROM": "a@b.org", "SMTP_USER": "u", "SMTP_PASSWORD": "Jx4_Rt8-vQ2m"}
    )
    unset = {name: value for name, value in uncommented(".env.prod.example", tmp_path).items() if name not in example}
    assert unset == {name: documented_text(SETTINGS[name].default) for name in unset}


def documented_text(default):
    return "" if isinstance(default, Derived) else default
