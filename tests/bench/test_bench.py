import json
import time

import pytest
import torch
from typer.testing import CliRunner

from archscale.bench.operators import bench_operators
from archscale.bench.timing import alternate
from archscale.bench.train import TrainSettings, bench_train
from archscale.cli import app
from archscale.registry import UserError

SMALL = TrainSettings(parameters=30_000, sequence_length=16, sequences=2, rounds=1, threads=1)


def test_jobs_take_turns_and_the_first_round_does_not_count():
    order = []

    def job(name: str, first: float):
        def run() -> None:
            order.append(name)
            time.sleep(first if order.count(name) == 1 else 0.001)

        return run

    seconds = alternate({"a": job("a", 0.05), "b": job("b", 0.05)}, rounds=3, device=torch.device("cpu"))
    assert order == ["a", "b"] * 4
    assert all(0.001 <= value < 0.04 for value in seconds.values())


def test_rows_are_of_equal_size_and_relative_to_the_first():
    report = bench_train(["sambay", "transformer_pp"], SMALL)
    first, second = report.rows
    assert [row.arch for row in report.rows] == ["sambay", "transformer_pp"]
    assert abs(first.parameters - second.parameters) < 0.1 * 30_000
    assert first.over_first == 1
    assert second.over_first == pytest.approx(second.tokens_per_second / first.tokens_per_second)
    assert first.tokens_per_second * first.step_seconds == pytest.approx(32)
    assert first.over_by_token > 0


def test_bytes_kept_are_those_of_the_graph():
    """A doubled sequence keeps as much a token in a linear architecture, and more where all tokens see each other."""
    settings = TrainSettings(
        parameters=30_000, sequence_length=256, sequences=1, rounds=1, threads=1, window=16, by_token=False
    )
    linear, quadratic = bench_train(["samba", "transformer_pp"], settings).rows
    assert linear.saved_bytes_per_token_at_double == pytest.approx(linear.saved_bytes_per_token, rel=0.02)
    assert quadratic.saved_bytes_per_token_at_double > 1.1 * quadratic.saved_bytes_per_token
    assert linear.over_by_token is None


def test_every_operator_is_timed_against_its_definition():
    rows = bench_operators(batch=1, length=8, rounds=1, device=torch.device("cpu"))
    assert len({row.operator for row in rows}) == len(rows) >= 6
    assert all(row.ratio == row.reference_seconds / row.seconds > 0 for row in rows)


@pytest.mark.parametrize(
    ("changes", "message"),
    [({"rounds": 0}, "rounds = 0: it must be at least 1"), ({"sequence_length": -1}, "sequence length = -1")],
)
def test_impossible_settings_are_refused(changes, message):
    with pytest.raises(UserError, match=message):
        TrainSettings(**changes)


def test_the_command_prints_two_tables_or_json():
    size = ["--parameters", "30000", "--length", "16", "--sequences", "1", "--threads", "1", "--rounds", "1"]
    arguments = ["bench", "train", "transformer_pp", "sambay", *size]
    text = CliRunner().invoke(app, arguments, catch_exceptions=False).output
    assert "30,000 non-embedding parameters, 1 × 16 tokens" in text
    assert "selective scan" in text
    assert max(map(len, text.splitlines())) <= 160
    values = json.loads(CliRunner().invoke(app, [*arguments, "--json"], catch_exceptions=False).output)
    assert [row["arch"] for row in values["rows"]] == ["transformer_pp", "sambay"]
    assert values["settings"]["sequence_length"] == 16
    assert values["operators"][0]["ratio"] > 0
