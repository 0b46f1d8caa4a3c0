import json
import os
import subprocess

from archscale.runlog.provenance import COMMAND, git_state, write_provenance


def git(folder, *arguments):
    identity = ["-c", "user.name=n", "-c", "user.email=e@example.org"]
    subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True)


def test_commit_and_difference_of_a_checkout(tmp_path):
    (tmp_path / "__init__.py").write_text("one = 1\n")
    git(tmp_path, "init", "-q")
    assert git_state(tmp_path)["git_commit"] is None  # inside a repository that does not track this code
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-q", "-m", "first")
    clean = git_state(tmp_path)
    assert len(clean["git_commit"]) == 40
    assert (clean["git_dirty"], clean["diff"]) == (False, "")
    (tmp_path / "__init__.py").write_bytes(b"two = 'caf\xe9'\n")
    changed = git_state(tmp_path)
    assert changed["git_commit"] == clean["git_commit"]
    assert changed["git_dirty"]
    assert "-one = 1" in changed["diff"]


def test_outside_a_checkout_there_is_no_commit(tmp_path):
    assert git_state(tmp_path) == {"git_commit": None, "git_dirty": False, "diff": ""}


def test_provenance_has_the_user_s_command(tmp_path, monkeypatch):
    monkeypatch.setenv(COMMAND, "archscale sweep demo")
    write_provenance(tmp_path)
    values = json.loads((tmp_path / "provenance.json").read_text())
    assert values["command"] == "archscale sweep demo"
    assert values["host"] == os.uname().nodename
    assert any(line.startswith("torch==") for line in (tmp_path / "packages.txt").read_text().splitlines())
