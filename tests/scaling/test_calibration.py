"""Which measured speed a plan gets, what it says of it, and what a calibration file may not be."""

import json
from dataclasses import replace
from typing import Any

import pytest

from archscale.registry import UserError
from archscale.scaling.calibration import Calibration, Machine, Measurement, add_measurements, load_calibration

ONE = Machine(device="cpu", name="AMD EPYC", threads=1, precision="float32")
TWO = replace(ONE, threads=2)
GPU = Machine(device="cuda", name="NVIDIA H100", threads=None, precision="bfloat16")


def measured(arch: str, parameters: int, flops_per_second: float, machine: Machine = ONE, **fields: Any) -> Measurement:
    values = {
        "torch": "2.13.0",
        "date": "2026-11-21",
        "width": 64,
        "depth": 8,
        "heads": 8,
        "head_dim": 16,
        "vocab_size": 256,
        "sequence_length": 512,
        "sequences": 4,
        "window": 128,
        "tokens_per_second": flops_per_second / parameters,
    }
    return Measurement(
        machine=machine,
        arch=arch,
        non_embedding_parameters=parameters,
        flops_per_second=flops_per_second,
        **{**values, **fields},
    )


def calibration(*measurements: Measurement) -> Calibration:
    return Calibration(measurements=measurements)


@pytest.mark.parametrize(("asked", "speed"), [(1, 3e9), (1.9e6, 3e9), (2.1e6, 5e9), (1e12, 5e9)])
def test_the_nearest_size_of_the_architecture_counts_by_ratio(asked, speed):
    """Between 1 and 4 million the geometric mean, 2 million, is where the nearer one changes."""
    known = calibration(
        measured("sambay", 4_000_000, 5e9), measured("sambay", 1_000_000, 3e9), measured("gdny", int(2e6), 9e9)
    )
    assert known.flops_per_second("sambay", asked)[0] == speed


def test_another_architecture_gets_the_median_of_the_others_at_their_nearest_sizes():
    known = calibration(
        measured("sambay", 1_000_000, 1e9),
        measured("sambay", 9_000_000, 99e9),
        measured("gdny", 1_000_000, 2e9),
        measured("samba", 1_000_000, 6e9),
    )
    speed, source = known.flops_per_second("transformer_pp", 1.1e6)
    assert speed == 2e9
    assert source == (
        "measured on AMD EPYC, 1 thread, float32: median of 3 architectures near 1.1M parameters, transformer_pp not "
        "among them"
    )


def test_the_source_names_machine_and_sizes():
    speed, source = calibration(measured("sambay", 4_000_000, 5e9, GPU)).flops_per_second("sambay", 1e9)
    assert speed == 5e9
    assert source == "measured on NVIDIA H100, bfloat16: sambay of 4M parameters (here 1B)"


def test_a_processor_is_its_threads():
    known = calibration(
        measured("sambay", 1_000_000, 2e9, TWO), measured("sambay", 1_000_000, 1e9), measured("gdny", 10, 7e9, TWO)
    )
    assert known.flops_per_second("sambay", 1e6, threads=1)[0] == 1e9
    assert known.flops_per_second("sambay", 1e6, threads=2)[0] == 2e9
    # Not measured on one thread, so not taken from two.
    assert known.flops_per_second("gdny", 10, threads=1)[0] == 1e9
    speed, source = known.flops_per_second("sambay", 1e6, threads=8, precision="bfloat16")
    assert speed == 2e9
    assert source.endswith(
        "AMD EPYC, 2 threads, float32: sambay of 1M parameters (here 1M); the run has 8 threads and bfloat16"
    )


def test_of_machines_as_good_the_newest_counts():
    older = replace(ONE, name="older")
    known = calibration(measured("sambay", 10, 1.0, older), measured("sambay", 10, 2.0))
    assert known.flops_per_second("sambay", 10)[0] == 2.0
    known = calibration(*reversed(known.measurements))
    assert known.flops_per_second("sambay", 10)[0] == 1.0


def test_a_device_that_was_not_measured_is_not_made_up():
    known = calibration(measured("sambay", 10, 1.0), measured("sambay", 10, 2.0, TWO))
    assert known.flops_per_second("sambay", 10, device="cpu")[0] == 2.0
    message = (
        "^calibration has no cuda device, but AMD EPYC, 1 thread, float32; AMD EPYC, 2 threads, float32: run "
        "`archscale bench train --device cuda --calibration FILE` on one$"
    )
    with pytest.raises(UserError, match=message):
        known.flops_per_second("sambay", 10, device="cuda")


def test_files_grow_by_machine_and_forget_what_is_measured_again(tmp_path):
    path = tmp_path / "new" / "speed.json"
    add_measurements(path, [measured("sambay", 10, 1.0), measured("gdny", 10, 2.0)])
    add_measurements(path, [measured("sambay", 10, 3.0, GPU), measured("sambay", 10, 4.0, date="2027-01-01")])
    add_measurements(path, [measured("sambay", 10, 5.0, sequence_length=1024)])
    found = load_calibration(path).measurements
    assert [m.flops_per_second for m in found] == [2.0, 3.0, 4.0, 5.0]
    assert load_calibration(path) == Calibration(measurements=found)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, r"no such calibration; write it with `archscale bench train --calibration .*speed.json`$"),
        ("{", "speed.json is damaged"),
        ("[]", "speed.json is damaged"),
        ("{}", "no calibration of version 1, but of None: measure again into another file"),
        ('{"version": 2, "other": 1}', "no calibration of version 1, but of 2: measure again into another file"),
        ('{"version": 1, "measurements": []}', "holds no measurements: add some with `archscale bench train"),
        ('{"version": 1, "measurments": []}', "unknown key 'measurments'. Did you mean 'measurements'"),
        ('{"version": 1, "measurements": [{}]}', "measurements.0"),
    ],
)
def test_what_is_no_calibration_is_refused_in_one_line(tmp_path, content, message):
    path = tmp_path / "speed.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(UserError, match=message) as error:
        load_calibration(path)
    assert "\n" not in str(error.value)
    if content == '{"version": 1, "measurements": []}':
        assert add_measurements(path, [measured("sambay", 10, 1.0)]) == load_calibration(path)
    elif content is not None:
        with pytest.raises(UserError):
            add_measurements(path, [measured("sambay", 10, 1.0)])
        assert path.read_text() == content


def test_a_folder_is_no_calibration(tmp_path):
    (tmp_path / "file").write_text("")
    for path in (tmp_path, tmp_path / "file" / "speed.json"):
        with pytest.raises(UserError, match=f"^calibration {path} cannot be read.*: name a file, as") as error:
            load_calibration(path)
        assert "\n" not in str(error.value)
        with pytest.raises(UserError, match="name a file"):
            add_measurements(path, [measured("sambay", 10, 1.0)])


@pytest.mark.parametrize(("field", "value"), [("flops_per_second", 0.0), ("non_embedding_parameters", 0)])
def test_impossible_measurements_are_refused(tmp_path, field, value):
    path = tmp_path / "speed.json"
    add_measurements(path, [measured("sambay", 10, 1.0)])
    values = json.loads(path.read_text())
    values["measurements"][0][field] = value
    path.write_text(json.dumps(values))
    with pytest.raises(UserError, match="a measurement of sambay has a speed or a size that is not positive"):
        load_calibration(path)
