"""From measured training steps to the speed that a plan takes."""

import json
from dataclasses import replace

import pytest
from typer.testing import CliRunner

from archscale.bench import calibrate
from archscale.bench.calibrate import bench_sizes, measurements, processor_name
from archscale.bench.train import TrainReport, TrainRow, TrainSettings, model_spec, sizes
from archscale.cli import app
from archscale.registry import UserError
from archscale.scaling.calibration import load_calibration
from archscale.scaling.survey import survey

SMALL = TrainSettings(parameters=30_000, sequence_length=16, sequences=1, rounds=1, threads=1, window=8, by_token=False)


def report_of(settings: TrainSettings) -> TrainReport:
    spec = model_spec("sambay", settings)
    row = TrainRow(
        arch="sambay", width=spec.scale.width, parameters=31_000, step_seconds=0.5, tokens_per_second=32.0,
        over_first=1.0, over_by_token=None, saved_bytes_per_token=1.0, saved_bytes_per_token_at_double=1.0,
    )  # fmt: skip
    return TrainReport(settings=settings, machine="1 CPU thread", rows=(row,), operators=())


def test_speed_is_tokens_by_the_products_of_the_modules():
    (found,) = measurements(report_of(SMALL))
    spec = model_spec("sambay", SMALL)
    assert found.flops_per_second == 32.0 * 3 * survey(spec.arch, spec.scale, 256, 16).forward.total
    assert (found.arch, found.non_embedding_parameters, found.tokens_per_second) == ("sambay", 31_000, 32.0)
    assert (found.width, found.depth, found.sequence_length) == (spec.scale.width, 8, 16)
    assert (found.heads, found.head_dim) == (spec.scale.num_heads, spec.scale.head_dim) == (8, 16)
    assert (found.sequences, found.window, found.vocab_size) == (1, 8, 256)


def test_a_measurement_names_what_it_ran_on(monkeypatch, tmp_path):
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text("processor\t: 0\nmodel name\t: Some CPU @ 2 GHz\nmodel name\t: Some CPU @ 2 GHz\n")
    monkeypatch.setattr(calibrate, "PROCESSORS", cpuinfo)
    (found,) = measurements(report_of(replace(SMALL, threads=3, precision="bfloat16")))
    assert str(found.machine) == "Some CPU @ 2 GHz, 3 threads, bfloat16"
    cpuinfo.unlink()
    assert processor_name()


def test_every_size_is_in_the_file_as_soon_as_it_is_measured(monkeypatch, tmp_path):
    path = tmp_path / "speed.json"

    def bench(names, settings):
        if settings.parameters > 60_000:
            raise KeyboardInterrupt
        return report_of(settings)

    monkeypatch.setattr(calibrate, "bench_train", bench)
    with pytest.raises(KeyboardInterrupt):
        bench_sizes(["sambay"], [replace(SMALL, parameters=size) for size in (3e4, 6e4, 9e4)], path)
    assert len(load_calibration(path).measurements) == 2


def test_a_file_that_is_no_calibration_is_refused_before_the_measurement(monkeypatch, tmp_path):
    path = tmp_path / "speed.json"
    path.write_text("{}")
    monkeypatch.setattr(calibrate, "bench_train", lambda *_: pytest.fail("it was measured"))
    with pytest.raises(UserError, match="no calibration of version 1"):
        bench_sizes(["sambay"], [SMALL], path)
    with pytest.raises(UserError, match="name a file"):
        bench_sizes(["sambay"], [SMALL], tmp_path)


def test_sizes_are_numbers_with_commas():
    assert sizes("1e6") == [1e6]
    assert sizes("3e4,60_000") == [3e4, 6e4]
    with pytest.raises(UserError, match="^parameters = 1e6;2e6: give a number, or several with commas"):
        sizes("1e6;2e6")
    with pytest.raises(UserError, match="^head dim = 0: it must be at least 1"):
        TrainSettings(head_dim=0)
    with pytest.raises(UserError, match="^unknown precision 'float16'. .*Choices: bfloat16, float32"):
        TrainSettings(precision="float16")


def test_the_command_measures_several_sizes_into_one_file(tmp_path):
    path = tmp_path / "speed.json"
    arguments = ["--length", "16", "--sequences", "1", "--threads", "1", "--rounds", "1", "--window", "8"]
    arguments += ["--parameters", "3e4,6e4", "--no-by-token", "--calibration", str(path), "--json"]
    result = CliRunner().invoke(app, ["bench", "train", "transformer_pp", *arguments], catch_exceptions=False)
    small, large = json.loads(result.output)
    found = load_calibration(path)
    speeds = [m.tokens_per_second for m in found.measurements]
    assert speeds == [report["rows"][0]["tokens_per_second"] for report in (small, large)]
    assert found.flops_per_second("transformer_pp", 6e4, device="cpu", threads=1)[0] == (
        found.measurements[1].flops_per_second
    )


def test_bfloat16_trains_under_autocast():
    (found,) = bench_sizes(["transformer_pp"], [replace(SMALL, precision="bfloat16")], None)[0].rows
    (wide,) = bench_sizes(["transformer_pp"], [SMALL], None)[0].rows
    assert found.saved_bytes_per_token < 0.9 * wide.saved_bytes_per_token


def test_a_shape_that_cannot_be_is_refused_in_one_line():
    with pytest.raises(UserError, match=r"scale\.depth = 9: it must be divisible by 4"):
        model_spec("sambay", replace(SMALL, depth=9))
