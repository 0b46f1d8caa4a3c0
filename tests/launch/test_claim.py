import json
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from archscale.launch.claim import STALE_SECONDS, claim, holder
from archscale.runlog.directory import RunDirectory


@pytest.fixture
def directory(tmp_path) -> RunDirectory:
    return RunDirectory(tmp_path)


def contend(path, start, all_have_tried, results):
    start.wait()
    taken = claim(RunDirectory(path))
    results.put(None if taken is None else taken.attempt)
    all_have_tried.wait()  # a holder that ended sooner would free the claim for the next contender


def test_of_many_processes_exactly_one_gets_the_claim(tmp_path):
    context = multiprocessing.get_context("fork")
    for attempt in (1, 2, 3):
        start, all_have_tried, results = context.Event(), context.Barrier(12), context.Queue()
        arguments = (tmp_path, start, all_have_tried, results)
        contenders = [context.Process(target=contend, args=arguments) for _ in range(12)]
        for process in contenders:
            process.start()
        start.set()
        won = [results.get(timeout=20) for _ in contenders]
        for process in contenders:
            process.join()
        assert [number for number in won if number is not None] == [attempt]
    assert not list((tmp_path / "attempts").glob(".*"))


def test_a_held_run_cannot_be_claimed_and_a_released_one_can(directory):
    first = claim(directory)
    assert first is not None
    assert holder(directory) == first.lock
    assert claim(directory) is None
    first.release()
    assert holder(directory) is None
    second = claim(directory)
    assert second is not None
    assert (first.attempt, second.attempt) == (1, 2)


def test_the_claim_of_a_killed_process_is_stale_at_once(directory):
    code = (
        "import sys, time; from pathlib import Path; from archscale.launch.claim import claim;"
        "from archscale.runlog.directory import RunDirectory; claim(RunDirectory(Path(sys.argv[1])));"
        "print('held', flush=True); time.sleep(60)"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(directory.path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    assert claim(directory) is None
    os.kill(process.pid, signal.SIGKILL)
    deadline = time.monotonic() + 10
    while holder(directory) is not None and time.monotonic() < deadline:
        time.sleep(0.01)  # until the kernel has made it a zombie, which counts as gone
    taken = claim(directory)
    process.wait()
    assert taken is not None
    assert taken.attempt == 2


def edit_lock(directory, **changes):
    path = directory.attempt_path(1) / "lock.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_a_process_number_used_again_is_not_the_holder(directory):
    claim(directory)
    edit_lock(directory, started_ticks=1)
    assert holder(directory) is None


def test_a_lock_from_before_a_reboot_is_stale(directory):
    claim(directory)
    edit_lock(directory, boot_id="an earlier boot")
    assert holder(directory) is None


def test_another_host_holds_while_its_heart_beats(directory):
    taken = claim(directory)
    assert taken is not None
    edit_lock(directory, host=f"not-{socket.gethostname()}")
    taken.beat({"step": 1})
    assert holder(directory) is not None
    long_ago = time.time() - STALE_SECONDS - 5
    for name in ("heartbeat.json", "lock.json"):
        os.utime(taken.path / name, (long_ago, long_ago))
    assert holder(directory) is None
    assert claim(directory) is not None


def test_a_loser_of_the_race_leaves_the_winner_alone(directory, monkeypatch):
    """The loser looked while the run was free; its rename must fail, whatever the winner has done since."""
    winner = claim(directory)
    assert winner is not None
    monkeypatch.setattr(RunDirectory, "attempts", lambda _: [])
    assert claim(directory) is None
    monkeypatch.undo()
    assert holder(directory) == winner.lock


def test_a_holder_in_another_container_of_this_host_is_judged_by_its_heartbeat(directory):
    """Its process number means nothing here."""
    taken = claim(directory)
    assert taken is not None
    edit_lock(directory, process_namespace="pid:[1]", pid=2**22 + 1)
    assert holder(directory) is not None
    long_ago = time.time() - STALE_SECONDS - 5
    os.utime(taken.path / "lock.json", (long_ago, long_ago))
    assert holder(directory) is None


def test_a_holder_that_was_taken_for_dead_finds_out(directory):
    first = claim(directory)
    assert first is not None
    assert not first.is_lost()
    edit_lock(directory, started_ticks=1)
    assert claim(directory) is not None
    assert first.is_lost()


def test_looking_at_somebody_else_s_runs_needs_no_right_to_write(directory, monkeypatch):
    taken = claim(directory)
    assert taken is not None
    edit_lock(directory, host=f"not-{socket.gethostname()}")

    def refuse(*_, **__):
        raise PermissionError

    monkeypatch.setattr(Path, "touch", refuse)
    assert holder(directory) is not None
