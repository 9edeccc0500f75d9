"""What the running system stands on: its folder, its lock, its socket, and what each process inherits."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from delivery.ops import data_folder, system
from delivery.ops.child import Child
from delivery.ops.refusals import CannotRun
from delivery.ops.sources import Sources


def test_a_folder_in_use_is_refused_with_the_owner(tmp_path, monkeypatch):
    monkeypatch.setattr(data_folder, "LOCK_WAIT_SECONDS", 0.1)
    held = data_folder.lock(tmp_path)
    try:
        with pytest.raises(CannotRun, match=rf"in use by another one \(process {os.getpid()}\)"):
            data_folder.lock(tmp_path)
    finally:
        os.close(held)
    os.close(data_folder.lock(tmp_path))


def test_the_lock_is_free_only_when_every_child_is_gone(tmp_path, monkeypatch):
    monkeypatch.setattr(data_folder, "LOCK_WAIT_SECONDS", 0.1)
    lock = data_folder.lock(tmp_path)
    child = Child("worker", ["sleep", "60"], os.environ, descriptors=[lock])
    child.start()
    os.close(lock)
    with pytest.raises(CannotRun):
        data_folder.lock(tmp_path)
    child.kill_group()
    os.close(data_folder.lock(tmp_path))


def test_a_long_path_gets_a_short_private_socket(tmp_path, monkeypatch):
    assert data_folder.socket_path(Path("/srv/delivery")) == Path("/srv/delivery/valkey.sock")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    deep = tmp_path / ("d" * 100)
    path = data_folder.socket_path(deep)
    assert path == data_folder.socket_path(deep)
    assert path.parent.parent == tmp_path
    path.parent.chmod(0o755)
    with pytest.raises(CannotRun, match="is not private"):
        data_folder.socket_path(deep)


@pytest.fixture
def parts(tmp_path):
    """What would be started in a folder, with 99 for the lock's descriptor; nothing is."""
    made = []

    def make(folder=tmp_path, **more):
        listener = system.listen("127.0.0.1", 0)
        own = {"DATA_DIR": folder, "REDIS_URL": f"unix://{folder}/valkey.sock?db=0", "HOST": "127.0.0.1", "PORT": 8000}
        settings = own | {"WEB_WORKERS": 2, "WEB_THREADS": 8, "TRUSTED_HOSTS": ["localhost"]} | more
        made.append(system.System(settings, lock=99, listener=listener))
        return made[-1]

    yield make
    for parts in made:
        parts.listener.close()
        os.close(parts.needed)
        os.close(parts.needs)


def test_every_process_holds_the_lock_and_all_but_the_store_hold_the_store(parts):
    whole = parts()
    store, others = whole.store(), whole.others()
    assert all(99 in child.descriptors for child in (store, *others))
    assert all(whole.needs in child.descriptors for child in others)
    assert whole.needs not in store.descriptors


def test_a_server_of_somebody_elses_is_left_alone(parts):
    whole = parts(REDIS_URL="redis://elsewhere:6379/0")
    assert whole.store() is None
    assert "REDIS_URL" not in whole.environ or whole.environ["REDIS_URL"] == os.environ["REDIS_URL"]


def test_a_store_with_a_long_path_is_told_to_the_others(parts, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    deep = tmp_path / ("d" * 100)
    deep.mkdir()
    whole = parts(deep)
    assert whole.store()
    assert whole.hidden_store
    assert whole.environ["REDIS_URL"] == whole.redis_url == f"unix://{data_folder.socket_path(deep)}?db=0"


def test_a_machine_without_the_wheel_is_told_what_to_do(monkeypatch):
    monkeypatch.setattr(system, "find_spec", lambda _: None)
    with pytest.raises(CannotRun, match="set REDIS_URL"):
        system.valkey_binary()


def test_a_port_is_taken_as_soon_as_it_is_ours():
    with system.listen("127.0.0.1", 0) as ours:
        port = ours.getsockname()[1]
        with pytest.raises(CannotRun, match="Address already in use"):
            system.listen("127.0.0.1", port)


def test_sources_tell_of_a_change_once(tmp_path, monkeypatch):
    monkeypatch.setattr("delivery.ops.sources.EVERY_SECONDS", 0)
    (tmp_path / "delivery").mkdir()
    watched = tmp_path / "delivery" / "app.py"
    watched.touch()
    sources = Sources(tmp_path)
    assert not sources.changed()
    os.utime(watched, (1, 1))
    assert sources.changed()
    assert not sources.changed()
    watched.unlink()
    assert sources.changed()


def test_time_zones_are_known_where_the_machine_has_none():
    script = "from delivery.users.schemas import _ZONES; print('Europe/Berlin' in _ZONES)"
    known = subprocess.check_output([sys.executable, "-c", script], env={**os.environ, "PYTHONTZPATH": ""}, text=True)
    assert known == "True\n"
