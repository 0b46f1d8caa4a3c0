"""The README's commands, as written: what is fenced as bash runs, in an empty folder."""

import os
import re
import shlex
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from archscale.study import load_study

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()

ELSEWHERE = {
    "make demo": "tests/test_demo.py runs its two commands",
    "make test": "this is it",
    "archscale sweep demo": "tests/test_demo.py",
    "archscale report demo": "tests/test_demo.py",
}


def commands() -> list[str]:
    blocks = re.findall(r"```bash\n(.*?)```", README, flags=re.DOTALL)
    lines = [re.sub(r"\s+#.*", "", line).strip() for block in blocks for line in block.splitlines()]
    return [line for line in lines if line]


def run(command: str, folder: Path) -> "subprocess.CompletedProcess[str]":
    program, *arguments = shlex.split(command)
    assert program == "archscale", f"{program}: only archscale's own commands can be run here"
    return subprocess.run(
        [sys.executable, "-m", "archscale", *arguments],
        cwd=folder,
        env={**os.environ, "PATH": f"{sysconfig.get_path('scripts')}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


def test_the_readme_has_commands():
    assert len(commands()) >= 8
    assert set(ELSEWHERE) <= set(commands())


@pytest.mark.parametrize("command", [command for command in commands() if command not in ELSEWHERE])
def test_a_command_of_the_readme_works_as_written(command, tmp_path):
    done = run(command, tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr


def test_no_placeholder_is_left():
    assert not re.findall(r"\b(?:TODO|TBD|[A-Z]+_[A-Z]+)\b", re.sub(r"ARCHSCALE_[A-Z]+", "", README))


def test_the_study_in_the_readme_is_the_packaged_one():
    (shown,) = re.findall(r"```yaml\n# sweeps/demo.yaml\n(.*?)```", README, flags=re.DOTALL)
    assert shown == (ROOT / "sweeps" / "demo.yaml").read_text()


def test_the_own_architecture_of_the_readme_trains(tmp_path):
    (shown,) = re.findall(r"```yaml\n(# my_conf/arch/mine.yaml\n.*?)```", README, flags=re.DOTALL)
    (command,) = re.findall(r"^archscale --conf my_conf .*$", README, flags=re.MULTILINE)
    (tmp_path / "my_conf" / "arch").mkdir(parents=True)
    (tmp_path / "my_conf" / "arch" / "mine.yaml").write_text(shown)
    done = run(command, tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_file_the_readme_points_to_exists():
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert (ROOT / target).exists(), target


def test_the_packaged_demo_has_the_sizes_of_the_text():
    assert load_study("demo").zip["scale.target_params"] == [25_000, 46_000, 86_000, 160_000]
