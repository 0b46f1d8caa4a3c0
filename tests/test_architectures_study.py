"""Every packaged architecture through `archscale sweep` and `archscale report`, for a few steps each."""

import json
import subprocess
import sys

import pytest

from archscale.compose import groups

pytestmark = pytest.mark.slow


def test_every_architecture_trains_end_to_end_and_is_reported(tmp_path):
    few = ["scale.tokens=20480", "scale.target_params=20_000"]
    for command in ("sweep", "report"):
        arguments = [sys.executable, "-m", "archscale", command, "architectures", *few, "--root", str(tmp_path)]
        done = subprocess.run(arguments, capture_output=True, text=True, timeout=3000, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    runs = [json.loads(path.read_text()) for path in tmp_path.glob("*/result.json")]
    specs = [json.loads(path.read_text()) for path in tmp_path.glob("*/spec.json")]
    assert sorted(spec["arch"]["name"] for spec in specs) == sorted(groups()["arch"])
    assert len(runs) == len(specs)
    assert all(run["verdict"] == "finished" and run["validation_loss"] < 5.5 for run in runs)
    report = (tmp_path / "studies" / "architectures" / "report.md").read_text()
    assert all(spec["arch"]["title"] in report for spec in specs)
