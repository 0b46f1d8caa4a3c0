import json

import pytest
from typer.testing import CliRunner

from archscale.bench import memory
from archscale.bench.memory import Size, bench_memory
from archscale.cli import app
from archscale.registry import UserError


@pytest.fixture(autouse=True)
def small(monkeypatch):
    size = Size(width=32, heads=4, head_dim=8, vocabulary=100, length=64, sequences=2)
    monkeypatch.setattr(memory, "SIZES", {"small": size})


def test_rows_are_measured_with_and_without_recomputation():
    kept, recomputed = bench_memory(["sambay"])
    assert [kept.recompute, recomputed.recompute] == [False, True]
    assert recomputed.measured_bytes < kept.measured_bytes
    for row in (kept, recomputed):
        assert row.error == row.predicted_bytes / row.measured_bytes - 1
        assert abs(row.error) < 0.1
        assert row.resident_bytes is None


def test_a_process_takes_at_least_its_parameters():
    row, _ = bench_memory(["transformer_pp"], resident=True)
    assert row.resident_bytes > 4 * row.parameters


def test_the_command_prints_a_table_or_json():
    text = CliRunner().invoke(app, ["bench", "memory", "transformer_pp"], catch_exceptions=False).output
    assert "peak of a training step" in text
    assert len([line for line in text.splitlines() if line.startswith("transformer_pp")]) == 2
    assert max(map(len, text.splitlines())) <= 80
    output = CliRunner().invoke(app, ["bench", "memory", "transformer_pp", "--json"], catch_exceptions=False).output
    assert [row["recompute"] for row in json.loads(output)] == [False, True]


def test_an_unknown_architecture_is_refused():
    with pytest.raises(UserError, match="sambaz"):
        bench_memory(["sambaz"])
