"""The wheel: holds conf/ and sweeps/, and works from any folder without the checkout."""

import json
import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True)
    (path,) = folder.glob("*.whl")
    return path


def test_the_wheel_holds_configuration_studies_and_templates(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    for folder in ("conf", "sweeps"):
        for file in (ROOT / folder).rglob("*.yaml"):
            assert f"archscale/_packaged/{file.relative_to(ROOT).as_posix()}" in names
    code = [file for end in ("py", "cpp", "h") for file in (ROOT / "archscale").rglob(f"*.{end}")]
    for file in [*code, *(ROOT / "analysis").rglob("*.*")]:
        if "__pycache__" not in file.parts:
            assert file.relative_to(ROOT).as_posix() in names
    assert not [name for name in names if name.startswith("tests/")]


def test_an_installed_wheel_plans_the_demo_from_the_root_folder(wheel, tmp_path):
    """In a fresh environment that borrows the dependencies of this one, but not this checkout."""
    venv.create(tmp_path / "venv", with_pip=True)
    python = tmp_path / "venv" / "bin" / "python"
    install = [python, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", str(wheel)]
    subprocess.run(install, check=True, capture_output=True)
    # The dependencies only: the path file of the editable install is left behind.
    borrowed = tmp_path / "borrowed"
    borrowed.mkdir()
    for entry in Path(sysconfig.get_path("purelib")).iterdir():
        if "archscale" not in entry.name and entry.suffix != ".pth":
            (borrowed / entry.name).symlink_to(entry)
    done = subprocess.run(
        [tmp_path / "venv" / "bin" / "archscale", "plan", "demo", "--json"],
        cwd="/",
        env={**os.environ, "PYTHONPATH": str(borrowed)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert len(json.loads(done.stdout)["cells"]) == 8
