"""The demo in full: minutes, so `make test-all` runs it. Losses fall with scale, far below the unigram entropy."""

import json
import subprocess
import sys
from itertools import pairwise

import pytest

from analysis.table import RunTable
from archscale.runlog.directory import RunDirectory
from archscale.runlog.wandb_file import find_wandb_files, merge_attempts, read_wandb_file
from archscale.study import expand, load_study

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """What `make demo` does."""
    folder = tmp_path_factory.mktemp("demo")
    for command in ("sweep", "report"):
        arguments = [sys.executable, "-m", "archscale", command, "demo", "--root", str(folder)]
        done = subprocess.run(arguments, capture_output=True, text=True, timeout=3000, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.strip().endswith("report.html")
    return folder


@pytest.fixture(scope="module")
def runs(root):
    return RunTable.from_directories(RunDirectory(root / cell.run_id) for cell in expand(load_study("demo"))).runs


def test_losses_fall_with_scale_far_below_the_unigram_entropy(runs):
    for _, of_one in runs.groupby("architecture"):
        losses = list(of_one.sort_values("compute")["validation_loss"])
        assert len(losses) == 4
        assert all(larger < smaller - 0.05 for smaller, larger in pairwise(losses))
    assert (runs["validation_loss"] < 0.75 * runs["unigram_entropy"]).all()


def test_the_report_has_every_run_and_both_fits(root, runs):
    folder = root / "studies" / "demo"
    page = (folder / "report.html").read_text()
    assert all(identity in page for identity in runs["run_id"])
    fits = json.loads((folder / "fits.json").read_text())
    assert sorted(fit["n"] for fit in fits["fits"].values()) == [4, 4]
    for figure in ("loss", "residuals", "training"):
        for kind in ("png", "svg", "pdf"):
            assert (folder / "figures" / f"{figure}.{kind}").stat().st_size > 1000


def test_wandb_has_what_the_local_mirror_has(root):
    merged = merge_attempts([read_wandb_file(path) for path in find_wandb_files(root)])
    for cell in expand(load_study("demo")):
        local = {row["train_step"]: row for row in RunDirectory(root / cell.run_id).metrics()}
        logged = merged[cell.run_id]
        assert logged.config["seed"] == cell.spec.seed
        assert logged.exit_code == 0
        assert dict(zip(logged.history["train_step"], logged.history["train_loss"], strict=True)) == {
            step: row["train_loss"] for step, row in local.items()
        }
