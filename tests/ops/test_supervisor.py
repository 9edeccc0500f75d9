"""The supervisor's rules, on children that live for a moment."""

import os
import signal
import sys
import time

import psutil
import pytest

from delivery.ops import supervisor
from delivery.ops.child import Child
from delivery.ops.leash import kept
from delivery.ops.refusals import CannotRun, StopAsked
from delivery.ops.supervisor import Supervisor
from tests.servers.processes import alive
from tests.servers.waiting import wait_until

# Each says when it is ready to be asked to stop, then notes its end in a file.
OBEDIENT = 'trap "echo {name} >> {folder}/ends; exit 0" TERM; touch {folder}/{name}; while :; do sleep 0.02; done'
STUBBORN = 'trap "" TERM; touch {folder}/{name}; while :; do sleep 0.02; done'


@pytest.fixture
def boss():
    boss = Supervisor(pause=0.01, tries=3)
    yield boss
    boss._hurried = True
    boss.stop()


@pytest.fixture
def start(boss, tmp_path):
    """Start children that run a shell script, and wait until each is ready."""

    def begin(group, **scripts):
        for name, script in scripts.items():
            child = Child(name, ["sh", "-c", script.format(name=name, folder=tmp_path)], os.environ)
            boss.start(group, child)
            wait_until((tmp_path / name).exists, what=name)
        return group[-1]

    return begin


def test_the_store_stops_after_all_others(boss, start, tmp_path):
    start(boss.stores, store=OBEDIENT)
    slow = OBEDIENT.replace('trap "', 'trap "sleep 0.3; ')
    start(boss.others, api=OBEDIENT, worker=slow)
    boss.stop()
    assert (tmp_path / "ends").read_text().split() == ["api", "worker", "store"]


def test_who_does_not_stop_is_killed_with_all_it_started(boss, start, monkeypatch):
    monkeypatch.setattr(supervisor, "FINISH_SECONDS", 0.2)
    child = start(boss.others, worker=STUBBORN.replace("while", "sleep 60 & while", 1))
    family = [psutil.Process(child.process.pid), *psutil.Process(child.process.pid).children()]
    boss.stop()
    wait_until(lambda: not any(alive(process) for process in family), what="the end of the group")


def test_a_second_signal_hurries(boss, start):
    start(boss.others, worker=STUBBORN)
    boss._on_signal(signal.SIGINT, None)
    boss._on_signal(signal.SIGINT, None)
    began = time.monotonic()
    boss.stop()
    assert time.monotonic() - began < supervisor.FINISH_SECONDS / 2


def test_a_dead_child_is_started_again_and_a_line_says_so(boss, start, capsys):
    child = start(boss.others, worker=OBEDIENT)
    first = child.process
    first.kill()

    def tick():
        boss._asked = child.process not in {None, first}

    boss.watch(tick)
    assert child.failures == 1
    assert child.ended() is None
    assert capsys.readouterr().err == "worker ended by signal 9; it is started again.\n"


def test_a_child_that_keeps_dying_ends_everything(boss):
    boss.start(boss.others, Child("worker", ["sh", "-c", "exit 7"], os.environ))
    with pytest.raises(CannotRun, match="worker ended with code 7, 3 times in a row"):
        boss.watch(lambda: None)


def test_a_death_before_all_is_ready_is_final_and_says_why(boss, tmp_path):
    script = "echo no memory; exit 1"
    boss.start(boss.stores, Child("Valkey", ["sh", "-c", script], os.environ, output=tmp_path / "log"))
    with pytest.raises(CannotRun, match="Valkey ended with code 1: no memory before Redis was ready"):
        boss.wait_for(lambda: False, what="Redis", seconds=5)


def test_what_never_gets_ready_is_named(boss):
    with pytest.raises(CannotRun, match="/readyz was not ready within 0 s"):
        boss.wait_for(lambda: False, what="/readyz", seconds=0.05)


def test_a_signal_ends_the_wait(boss):
    boss._on_signal(signal.SIGTERM, None)
    with pytest.raises(StopAsked):
        boss.wait_for(lambda: False, what="Redis", seconds=5)


def test_a_reload_starts_the_others_again_and_leaves_the_store(boss, start):
    store = start(boss.stores, store=OBEDIENT).process
    before = start(boss.others, api=OBEDIENT).process
    boss.restart_others()
    assert boss.stores[0].process is store
    assert boss.others[0].process is not before
    assert boss.others[0].ended() is None


def test_pauses_grow_and_a_long_life_is_a_clean_slate(monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    child = Child("worker", ["true"], {})
    pauses = []
    for lived in (1, 1, 1, 100, 1):
        child.started = now[0]
        now[0] += lived
        child.plan_restart(pause=0.5)
        pauses.append(child.due - now[0])
    assert pauses == [0.5, 1, 2, 0.5, 1]


def test_a_child_dies_with_a_killed_supervisor(tmp_path):
    script = (
        "import os, signal, time\n"
        "from delivery.ops.child import Child\n"
        "from delivery.ops.leash import leashed\n"
        f"command = ['sh', '-c', 'echo $$ > {tmp_path}/pid; exec sleep 60']\n"
        "child = Child('x', leashed(command, signal=signal.SIGTERM), os.environ)\n"
        "child.start()\n"
        "time.sleep(60)\n"
    )
    parent = Child("parent", [sys.executable, "-c", script], os.environ)
    parent.start()
    pid = wait_until(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text(), what="the child")
    child = psutil.Process(int(pid))
    parent.process.kill()
    parent.process.wait()
    wait_until(lambda: not alive(child), what="the child's end")


@pytest.fixture
def kept_store(boss, tmp_path):
    """A child that is kept as long as somebody holds the writing end of a pipe: (child, that end)."""
    needed, needs = os.pipe()
    command = ["sh", "-c", OBEDIENT.format(name="store", folder=tmp_path)]
    child = Child("store", kept(command, until=needed), os.environ, descriptors=[needed])
    boss.start(boss.stores, child)
    wait_until((tmp_path / "store").exists, what="store")
    yield child, needs
    os.close(needed)


def test_a_kept_store_lives_until_the_last_who_needs_it_is_gone(kept_store, tmp_path):
    store, needs = kept_store
    other = Child("worker", ["sleep", "60"], os.environ, descriptors=[needs])
    other.start()
    os.close(needs)
    assert store.ended() is None
    other.kill_group()
    assert store.process.wait(timeout=5) == 0
    assert (tmp_path / "ends").read_text() == "store\n"


def test_a_kept_store_hands_on_signals_and_its_exit_code(kept_store):
    store, needs = kept_store
    [real] = psutil.Process(store.process.pid).children()
    store.terminate()
    assert store.process.wait(timeout=5) == 0
    assert not alive(real)
    os.close(needs)


def test_a_kept_store_dies_with_its_keeper_and_the_keeper_with_it(kept_store, boss):
    store, needs = kept_store
    [real] = psutil.Process(store.process.pid).children()
    real.kill()
    assert store.process.wait(timeout=5) == 128 + signal.SIGKILL
    store.start()
    [real] = wait_until(psutil.Process(store.process.pid).children, what="the store")
    store.process.kill()
    wait_until(lambda: not alive(real), what="the store's end")
    os.close(needs)
