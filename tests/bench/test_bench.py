import io
import json
import math
import re
import sys
from contextlib import nullcontext

import pytest
import torch
from rich.console import Console
from typer.testing import CliRunner

from archscale.bench.operators import bench_operators
from archscale.bench.recurrences import OPERATORS, has_recurrence, run_token_by_token
from archscale.bench.tables import train_table
from archscale.bench.timing import alternate
from archscale.bench.train import TrainReport, TrainRow, TrainSettings, bench_train, model_spec
from archscale.cli import app
from archscale.model.lm import LanguageModel
from archscale.model.mixers import recurrent
from archscale.registry import UserError

SMALL = TrainSettings(parameters=30_000, sequence_length=16, sequences=2, rounds=1, threads=1)


def test_jobs_take_turns_and_the_first_round_does_not_count(monkeypatch):
    order, now = [], [100.0]
    monkeypatch.setattr("archscale.bench.timing.time.perf_counter", lambda: now[0])

    def job(name: str, *durations: float):
        def run() -> None:
            now[0] += durations[order.count(name)]
            order.append(name)

        return run

    jobs = {"a": job("a", 64.0, 1.0, 8.0, 2.0), "b": job("b", 64.0, 0.5, 0.25, 4.0)}
    assert alternate(jobs, rounds=3, device=torch.device("cpu")) == {"a": 2.0, "b": 0.5}
    assert order == ["a", "b"] * 4


def test_rows_are_of_equal_size_and_relative_to_the_first():
    report = bench_train(["sambay", "transformer_pp"], SMALL)
    first, second = report.rows
    assert [row.arch for row in report.rows] == ["sambay", "transformer_pp"]
    assert abs(first.parameters - second.parameters) < 0.1 * 30_000
    assert first.over_first == 1
    assert second.over_first == pytest.approx(second.tokens_per_second / first.tokens_per_second)
    assert first.tokens_per_second * first.step_seconds == pytest.approx(32)
    assert first.over_by_token > 0
    assert second.over_by_token is None  # no recurrence


def test_bytes_kept_are_those_of_the_graph():
    """A doubled sequence keeps as much a token in a linear architecture, and more where all tokens see each other."""
    settings = TrainSettings(
        parameters=30_000, sequence_length=256, sequences=1, rounds=1, threads=1, window=16, by_token=False
    )
    linear, quadratic = bench_train(["samba", "transformer_pp"], settings).rows
    assert linear.saved_bytes_per_token_at_double == pytest.approx(linear.saved_bytes_per_token, rel=0.02)
    assert quadratic.saved_bytes_per_token_at_double > 1.1 * quadratic.saved_bytes_per_token
    assert linear.over_by_token is None


@pytest.mark.parametrize("mixer", OPERATORS)
def test_token_by_token_means_recurrences_alone(mixer, monkeypatch):
    """Each recurrent mixer finds the definition of its recurrence, and the fast form of its convolution."""
    module, calls = sys.modules[mixer.__module__], []

    def record(where, name):
        operator = getattr(where, name)

        def call(*inputs, **options):
            calls.append((name, options["backend"]))
            return operator(*inputs, **options)

        monkeypatch.setattr(where, name, call)

    recurrence = OPERATORS[mixer]
    record(module, recurrence)
    record(recurrent, "causal_conv")
    ours = getattr(module, recurrence)
    arch = {"mamba": "sambay", "mamba2": "sambay_2", "gated_deltanet": "sgdny"}[module.__name__.rpartition(".")[2]]
    model = LanguageModel(model_spec(arch, SMALL))
    assert has_recurrence(model)
    tokens_BT = torch.zeros((1, 4), dtype=torch.long)
    for expected in ("auto", "reference", "auto"):
        calls.clear()
        with run_token_by_token() if expected == "reference" else nullcontext():
            model.loss(tokens_BT, tokens_BT)
        assert set(calls) == {(recurrence, expected), ("causal_conv", "auto")}
    assert getattr(module, recurrence) is ours


def test_the_fast_forms_return_after_an_error():
    before = [getattr(sys.modules[mixer.__module__], name) for mixer, name in OPERATORS.items()]
    with pytest.raises(KeyError), run_token_by_token():
        raise KeyError
    assert [getattr(sys.modules[mixer.__module__], name) for mixer, name in OPERATORS.items()] == before


def test_a_model_without_recurrences_has_none_to_run_token_by_token():
    assert not has_recurrence(LanguageModel(model_spec("transformer_ls", SMALL)))


@pytest.mark.parametrize("machine", ["1 CPU thread", "NVIDIA H100 80GB HBM3"])
def test_the_table_fits_80_columns(machine):
    row = TrainRow(
        arch="phi4_mini_flash", width=3072, parameters=10**9, step_seconds=12.345, tokens_per_second=1_234_567.0,
        over_first=12.34, over_by_token=123.4, saved_bytes_per_token=1234567.8, saved_bytes_per_token_at_double=2e6,
    )  # fmt: skip
    settings = TrainSettings(parameters=1.25e9, sequence_length=8192, sequences=128, window=2048)
    report = TrainReport(settings=settings, machine=machine, rows=(row, row), operators=())
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(train_table(report))
    text = console.export_text()
    title, where, *_, last = [line.rstrip() for line in text.splitlines()]
    assert title == "training steps at 1.25B non-embedding parameters"
    assert where == f"128 × 8192 tokens, window 2048, {machine}"
    assert last.split() == ["phi4_mini_flash", "3072", "12345", "1,234,567", "12.34", "123.4", "1234.6", "2000.0"]
    assert "…" not in text


def test_every_operator_is_timed_against_its_definition():
    rows = bench_operators(batch=1, length=8, rounds=1, device=torch.device("cpu"))
    assert len({row.operator for row in rows}) == len(rows) >= 6
    assert all(row.ratio == row.reference_seconds / row.seconds > 0 for row in rows)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rounds": 0}, "^rounds = 0: it must be at least 1"),
        ({"sequence_length": -1}, "^sequence length = -1"),
        ({"window": 0}, "^window = 0"),
        ({"parameters": math.nan}, "^parameters = nan: it must be a finite number"),
        ({"parameters": math.inf}, "^parameters = inf: it must be a finite number"),
        ({"device": "tpu"}, "^unknown device 'tpu'.*auto, cpu, cuda"),
    ],
)
def test_impossible_settings_are_refused(changes, message):
    with pytest.raises(UserError, match=message):
        TrainSettings(**changes)


def test_the_command_prints_two_tables_or_json():
    size = [
        "--parameters",
        "30000",
        "--length",
        "16",
        "--sequences",
        "1",
        "--threads",
        "1",
        "--rounds",
        "1",
        "--window",
        "8",
    ]
    arguments = ["bench", "train", "transformer_pp", "sambay", *size]
    text = CliRunner().invoke(app, arguments, catch_exceptions=False).output
    assert "at 30K non-embedding parameters\n1 × 16 tokens, window 8, 1 CPU thread\n" in re.sub(" +\n", "\n", text)
    assert "selective scan" in text
    assert max(map(len, text.splitlines())) <= 160
    values = json.loads(CliRunner().invoke(app, [*arguments, "--json"], catch_exceptions=False).output)
    assert [row["arch"] for row in values["rows"]] == ["transformer_pp", "sambay"]
    assert values["settings"]["sequence_length"] == 16
    assert values["settings"]["window"] == 8
    assert [row["over_by_token"] is None for row in values["rows"]] == [True, False]
    assert values["operators"][0]["ratio"] > 0
