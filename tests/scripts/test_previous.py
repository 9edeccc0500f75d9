"""scripts/try-previous finds the release before by git."""

import pytest

from tests import previous


@pytest.fixture
def project(tmp_path, monkeypatch):
    """An empty repository in the place of ours; call it to commit what lies there, for the commit's name."""
    monkeypatch.setattr(previous, "ROOT", tmp_path)
    (tmp_path / "migrations/versions").mkdir(parents=True)
    for name in ("GIT_AUTHOR_NAME", "GIT_AUTHOR_EMAIL", "GIT_COMMITTER_NAME", "GIT_COMMITTER_EMAIL"):
        monkeypatch.setenv(name, "ada@people.example")
    previous.git("init", "--quiet")

    def commit():
        previous.git("add", "--all")
        previous.git("commit", "--quiet", "--allow-empty", "--message", "one")
        return previous.git("rev-parse", "HEAD")

    return commit


def test_the_release_before_has_all_but_the_newest_migration(project, tmp_path):
    versions = tmp_path / "migrations/versions"
    (versions / "20260101_0000_first.py").write_text("first")
    first = project()
    (versions / "20260202_0000_second.py").write_text("second")
    project()
    (versions / "20260202_0000_second.py").write_text("second, corrected")
    (versions / "20260101_0000_first.py").write_text("first, corrected")
    project()
    assert previous.git("rev-parse", previous.before_newest_migration()) == first
    previous.unpack(first, tmp_path / "code")
    assert [path.name for path in (tmp_path / "code/migrations/versions").iterdir()] == ["20260101_0000_first.py"]


def test_it_is_what_is_checked_out_while_the_newest_is_in_no_commit(project, tmp_path):
    last = project()
    (tmp_path / "migrations/versions/20260101_0000_first.py").write_text("first")
    assert previous.git("rev-parse", previous.before_newest_migration()) == last


def test_a_revision_that_is_none_is_one_clear_line(project):
    project()
    with pytest.raises(SystemExit, match=r"^try-previous: git rev-parse --verify nowhere.*: fatal: "):
        previous.main("nowhere")


def test_without_git_it_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(previous, "ROOT", tmp_path)
    with pytest.raises(SystemExit, match="not a git repository"):
        previous.git("log")
