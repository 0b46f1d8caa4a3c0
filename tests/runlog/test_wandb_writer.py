import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest

from archscale.runlog.wandb_file import find_wandb_files, merge_attempts, read_wandb_file
from archscale.runlog.wandb_writer import WandbWriter
from archscale.spec import WandbSpec

# Every one of these would turn the run into another, send it elsewhere or stop it, if the client saw it.
HOSTILE = {
    "WANDB_API_KEY": "0" * 40,
    "WANDB_BASE_URL": "http://192.0.2.1:9",
    "WANDB_MODE": "online",
    "WANDB_DIR": "/nonexistent",
    "WANDB_RUN_ID": "another",
    "WANDB_NAME": "another",
    "WANDB_PROJECT": "another",
    "WANDB_RESUME": "must",
    "WANDB_SWEEP_ID": "sweep",
    "WANDB_SERVICE": "3-1-unix-/nonexistent/socket",
    "WANDB_DISABLED": "true",
    "WANDB_ERROR_REPORTING": "true",
}
OPEN = """
    import os, sys, signal, time
    from pathlib import Path
    from archscale.runlog.wandb_writer import WandbWriter
    from archscale.spec import WandbSpec

    def rows(writer, steps):
        for step in steps:
            writer.log({"train_step": step, "tokens": 64 * step, "loss": 1 / (step + 1)})

    def core():
        (child,) = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
        return int(child)

    settings = WandbSpec(group="g", tags=("t",))
    writer = WandbWriter(settings, run_id="mine", name="name", config={"a": 1}, directory=Path(sys.argv[1]))
"""


def script(body: str) -> str:
    return textwrap.dedent(OPEN) + textwrap.dedent(body)


def python(
    body: str, root: Path, *, before: tuple[str, ...] = (), **variables: str
) -> subprocess.CompletedProcess[str]:
    command = [*before, sys.executable, "-c", script(body), str(root)]
    return subprocess.run(command, capture_output=True, text=True, env=os.environ | variables, timeout=100)


def non_loopback(trace: Path) -> list[str]:
    """The lines of a strace in which an address outside this machine is named."""
    lines = [line for line in trace.read_text().splitlines() if "AF_INET" in line and "sin" in line]
    return [line for line in lines if '"127.' not in line and '"::1"' not in line]


def test_offline_names_no_address_outside_this_machine_whatever_the_environment(tmp_path):
    strace = shutil.which("strace")
    if strace is None:
        pytest.skip("strace is not installed: sockets of wandb-core, a Go program, cannot be watched otherwise")
    trace = tmp_path / "trace"
    traced = (strace, "-f", "-e", "trace=connect,sendto,sendmsg,sendmmsg", "-o", str(trace))
    probe = "import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM).connect(('192.0.2.1', 9))"
    if subprocess.run([*traced, sys.executable, "-c", probe], capture_output=True).returncode:
        pytest.skip("strace may not trace here")
    assert len(non_loopback(trace)) == 1

    body = "rows(writer, range(20)); time.sleep(1.5); writer.finish(0); print(os.environ['WANDB_MODE'])"
    done = python(body, tmp_path / "run", before=traced, **HOSTILE)
    assert (done.returncode, done.stdout, done.stderr) == (0, "online\n", "")
    assert "connect(" in trace.read_text()
    assert non_loopback(trace) == []
    (path,) = find_wandb_files(tmp_path / "run")
    run = read_wandb_file(path)
    assert (run.run_id, run.name, run.config, len(run.history)) == ("mine", "name", {"a": 1}, 20)


def test_a_killed_process_leaves_the_rows_up_to_the_last_flush(tmp_path):
    body = """
        rows(writer, range(100))
        print(core(), flush=True)
        input()
        rows(writer, range(100, 150))
        print("unflushed", flush=True)
        time.sleep(60)
    """
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", script(body), str(tmp_path)], stdin=pipe, stdout=pipe) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        core = int(process.stdout.readline())
        (path,) = find_wandb_files(tmp_path)
        # Far above the writer's interval of 1 second, far below the client's own of 15.
        patience = time.monotonic() + 10
        while len(read_wandb_file(path).history) < 100 and time.monotonic() < patience:
            time.sleep(0.1)
        process.stdin.write(b"\n")
        process.stdin.flush()
        assert process.stdout.readline() == b"unflushed\n"
        os.kill(core, signal.SIGKILL)
        process.kill()
    run = read_wandb_file(path)
    steps = run.history["train_step"].to_list()
    assert 100 <= len(steps) <= 150
    assert steps == list(range(len(steps)))
    assert (run.config, run.exit_code, run.damaged_blocks) == ({"a": 1}, None, 0)


def test_the_trainers_signal_handlers_stay_and_the_exit_code_is_recorded(tmp_path):
    body = """
        writer.finish(0)
        seen = []
        handlers = {s: (lambda number, frame: seen.append(number)) for s in (15, 2, 10, 12)}
        for number, handler in handlers.items():
            signal.signal(number, handler)
        with WandbWriter(settings, run_id="mine", name="name", config={"a": 1}, directory=Path(sys.argv[1])) as writer:
            rows(writer, range(5))
            assert all(signal.getsignal(number) is handler for number, handler in handlers.items())
            for number in handlers:
                os.kill(os.getpid(), number)
            rows(writer, range(5, 10))
            assert seen == list(handlers), seen
            sys.exit(143)
    """
    done = python(body, tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (143, "", "")
    first, second = map(read_wandb_file, find_wandb_files(tmp_path))
    assert (first.exit_code, second.exit_code, len(second.history)) == (0, 143, 10)


def test_the_file_is_complete_when_finish_returns(tmp_path):
    body = """
        from archscale.runlog.wandb_file import find_wandb_files, read_wandb_file
        rows(writer, range(500))
        writer.finish(3)
        (path,) = find_wandb_files(Path(sys.argv[1]))
        run = read_wandb_file(path)
        print(run.exit_code, len(run.history), Path(f"/proc/self/task/{os.getpid()}/children").read_text().split())
    """
    done = python(body, tmp_path)
    assert (done.stdout, done.stderr) == ("3 500 []\n", "")


@pytest.mark.parametrize("moment", ["rows", "summary", "finish"])
def test_a_run_outlives_the_death_of_wandb_core(tmp_path, moment):
    body = f"""
        moment = {moment!r}
        rows(writer, range(10))
        os.kill(core(), signal.SIGTERM)
        time.sleep(0.3)
        if moment == "rows": rows(writer, range(10, 20))
        if moment == "summary":
            for _ in range(3): writer.summarize({{"x": 1}})
        writer.finish(0)
        writer.finish(1)
        with WandbWriter(settings, run_id="next", name="n", config={{}}, directory=Path(sys.argv[1])) as writer:
            rows(writer, range(3))
        print("trained")
    """
    done = python(body, tmp_path)
    assert (done.returncode, done.stdout) == (0, "trained\n")
    assert done.stderr.count("helper process died") == 1
    assert len(done.stderr.splitlines()) == 1
    assert [len(read_wandb_file(path).history) for path in find_wandb_files(tmp_path) if "next" in path.name] == [3]


def test_two_attempts_of_a_run_merge_by_train_step(tmp_path):
    for steps, value in ((range(6), 1.0), (range(4, 9), 2.0)):
        writer = WandbWriter(WandbSpec(), run_id="r", name="n", config={}, directory=tmp_path / str(value))
        for step in steps:
            writer.log({"train_step": step, "tokens": step, "loss": value})
        writer.finish(0)
        assert writer.url is None
    run = merge_attempts([read_wandb_file(path) for path in find_wandb_files(tmp_path)])["r"]
    assert run.history["train_step"].to_list() == list(range(9))
    assert run.history["loss"].to_list() == [1.0] * 4 + [2.0] * 5


def test_disabled_writes_nothing_and_does_not_import_wandb(tmp_path):
    body = """
        writer.finish(0)
    """
    text = script(body).replace('WandbSpec(group="g"', 'WandbSpec(mode="disabled", group="g"')
    text += "\nprint('wandb' in sys.modules, writer.url, sorted(Path(sys.argv[1]).iterdir()))"
    done = subprocess.run([sys.executable, "-c", text, str(tmp_path)], capture_output=True, text=True)
    assert done.stdout == "False None []\n", done.stderr


def test_online_without_a_server_is_one_line_after_a_bounded_wait(tmp_path):
    body = """
        import archscale.runlog.wandb_writer as module
        from archscale.registry import UserError
        writer.finish(0)
        module.INIT_TIMEOUT_SECONDS = 1.0
        try:
            WandbWriter(WandbSpec(mode="online"), run_id="r", name="n", config={}, directory=Path(sys.argv[1]))
        except UserError as error:
            print(error, os.environ["WANDB_MODE"])
    """
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{closed.getsockname()[1]}"
        done = python(body, tmp_path, **HOSTILE | {"WANDB_BASE_URL": address})
    (line,) = done.stdout.splitlines()
    assert line.startswith("wandb mode 'online' cannot start run 'r':")
    assert address in line
    assert line.endswith("or use mode offline and `wandb sync` later. online")
    assert (done.returncode, done.stderr) == (0, "")


class Server(BaseHTTPRequestHandler):
    """As much of W&B as one run needs, on this machine; silent once `lost` is set."""

    lost = threading.Event()
    project: ClassVar = {"id": "p", "name": "archscale", "entity": {"id": "e", "name": "me"}}
    bucket: ClassVar = {"id": "x", "name": "mine", "displayName": "name", "config": "{}", "project": project}
    answers: ClassVar = {
        "RunResumeStatus": {"model": {**project, "bucket": None}},
        "UpsertBucket": {"upsertBucket": {"bucket": bucket, "inserted": True}},
        "CreateRunFiles": {"createRunFiles": {"runID": "x", "uploadHeaders": [], "files": []}},
    }

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.lost.is_set():
            return
        query = json.loads(body)["query"].split() if self.path == "/graphql" else []
        names = [word.split("(")[0] for word in query[:2]]
        answer = json.dumps({"data": next((self.answers[name] for name in names if name in self.answers), {})}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, format: str, *arguments: object) -> None:
        pass


@pytest.mark.parametrize("lost", [False, True])
def test_online_gives_the_address_and_does_not_wait_for_a_lost_server(tmp_path, lost):
    body = """
        import logging, archscale.runlog.wandb_writer as module
        writer.finish(0)
        logging.basicConfig(format="%(name)s %(message)s")
        module.FINISH_TIMEOUT_SECONDS = 1.0
        online = WandbSpec(mode="online")
        writer = WandbWriter(online, run_id="mine", name="name", config={}, directory=Path(sys.argv[1], "online"))
        print(writer.url, flush=True)
        input()
        rows(writer, range(10))
        writer.finish(0)
        print(writer.url)
    """
    Server.lost.clear()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Server)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}"
    command = [sys.executable, "-c", script(body), str(tmp_path)]
    pipe = subprocess.PIPE
    environment = os.environ | HOSTILE | {"WANDB_BASE_URL": address}
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True, env=environment) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == f"{address}/me/archscale/runs/mine\n"
        if lost:
            Server.lost.set()
        out, errors = process.communicate("\n", timeout=60)
    server.shutdown()
    server.server_close()
    assert (process.returncode, out) == (0, "None\n"), errors
    assert errors.count("archscale.runlog.wandb_writer wandb: run mine is not fully uploaded") == lost
    assert len(errors.splitlines()) == lost


def test_a_row_needs_its_step_and_its_tokens():
    writer = WandbWriter(WandbSpec(mode="disabled"), run_id="r", name="n", config={}, directory=Path())
    with pytest.raises(ValueError, match="without tokens, train_step"):
        writer.log({"loss": 1.0})
    writer.finish(0)
    with pytest.raises(RuntimeError, match=r"log\(\) after finish\(\)"):
        writer.log({"train_step": 0, "tokens": 0})
