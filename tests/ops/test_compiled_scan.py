"""What only the C++ form of the selective scan has to prove, and how such files are built and kept (ops/native)."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from archscale.ops import native
from archscale.ops.native import Missing, library
from archscale.ops.selective_scan import compiled, selective_scan, selective_scan_form
from archscale.ops.selective_scan.compiled import CompiledScan
from tests.ops.test_selective_scan import outputs_and_gradients, random_inputs

if selective_scan_form() == "chunked (no C++ compiler found)":
    pytest.skip("no C++ compiler found", allow_module_level=True)

ANSWER = 'extern "C" int answer() { return 42; }\n'
ASK = """
import sys
from pathlib import Path
from archscale.ops.native import library
print(library(Path(sys.argv[1])).answer())
"""


@pytest.fixture
def source(tmp_path, monkeypatch) -> Path:
    """A C++ file that nothing knows yet, and an empty cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    path = tmp_path / "answer.cpp"
    path.write_text(ANSWER)
    return path


@pytest.fixture
def undecided():
    """Compiled code is looked for anew, now and after the test."""
    library.cache_clear()
    yield
    library.cache_clear()


def cached(source: Path) -> list[Path]:
    return sorted((source.parent / "cache" / "archscale").glob("*"))


def ask(source: Path) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", ASK, str(source)], stdout=subprocess.PIPE, text=True)


def bits(results: list[torch.Tensor]) -> list[bytes]:
    return [x.detach().contiguous().numpy().tobytes() for x in results]


@pytest.mark.parametrize("channels", [1, 15, 33, 129, 200])
@pytest.mark.parametrize("size", [1, 3, 5, 16])
def test_every_width_equals_the_reference(channels, size):
    for dtype, tolerance in ((torch.float32, 2e-6), (torch.float64, 1e-12)):
        inputs = random_inputs(2, 19, channels, size, dtype)
        results = outputs_and_gradients(selective_scan, inputs, [])
        exact_inputs = [x.detach().double().requires_grad_() for x in inputs]
        exact = outputs_and_gradients(selective_scan, exact_inputs, [], backend="reference")
        for a, b in zip(results, exact, strict=True):
            assert (a - b).norm() <= tolerance * b.norm()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_neither_repetition_nor_the_number_of_threads_changes_a_bit(dtype, monkeypatch):
    monkeypatch.setattr(compiled, "STATES_PER_THREAD", 1)
    inputs, before = random_inputs(3, 40, 300, 6, dtype), torch.get_num_threads()
    try:
        results = []
        for threads in (1, 1, 2, 3, 5, 16):
            torch.set_num_threads(threads)
            results.append(bits(outputs_and_gradients(selective_scan, inputs, [])[2:]))
    finally:
        torch.set_num_threads(before)
    assert all(result == results[0] for result in results)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_decay_is_exact_to_the_rounding_of_its_exponent(dtype):
    """One token with u = 0: the final state is exp(Δ A). An exponent x is off by a unit in its last place or two."""
    unit, smallest = torch.finfo(dtype).eps, torch.finfo(dtype).smallest_normal
    exponent = torch.linspace(-1000, 0, 100_001, dtype=dtype)
    nothing, one = torch.zeros(1, 1, len(exponent), dtype=dtype), torch.ones(1, 1, 1, dtype=dtype)
    delta, initial = torch.ones_like(nothing), torch.ones(1, len(exponent), 1, dtype=dtype)
    _, final = selective_scan(nothing, delta, exponent[:, None], one, one, nothing[0, 0], initial_BDN=initial)
    found, exact = final[0, :, 0].double(), exponent.double().exp()
    normal = exact > smallest * 1.1
    assert ((found - exact).abs() <= exact * unit * (1.7 + exponent.double().abs()))[normal].all()
    assert (found >= 0).all()
    assert (found[~normal] <= smallest * 1.2).all()
    assert (found[exact == 0] == 0).all()
    assert (found[exact < smallest * unit / 4] == 0).all()
    assert found[-1] == 1


@pytest.mark.parametrize("payload", [0x7FC00000, 0x7F800001, 0x7FC001FF, -1])
def test_a_nan_of_any_payload_stays_one(payload):
    inputs = [x.detach() for x in random_inputs(1, 4, 20, 4, torch.float32)]
    inputs[2][7, 0] = torch.tensor(payload, dtype=torch.int32).view(torch.float32)
    y, _ = selective_scan(*inputs)
    assert y[..., 7].isnan().all()
    assert y.isnan().sum() == 4


def test_no_states_are_kept_where_no_way_back_follows(monkeypatch):
    inputs, call, tensors = random_inputs(1, 64, 8, 4), compiled._call, []
    monkeypatch.setattr(compiled, "_call", lambda *given: (tensors.append(set(given[1])), call(*given)))
    selective_scan(*inputs)
    with torch.no_grad():
        selective_scan(*inputs)
    selective_scan(*(x.detach() for x in inputs))
    assert ["saved" in names for names in tensors] == [True, False, False]


def test_inputs_in_any_memory_order_are_taken():
    u, delta, A, B, C, D = (x.detach() for x in random_inputs(2, 9, 5, 4))
    turned = [x.transpose(0, 1).contiguous().transpose(0, 1) for x in (u, delta, A, B, C)]
    for a, b in zip(selective_scan(*turned, D), selective_scan(u, delta, A, B, C, D), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("place", range(6))
def test_a_wrong_shape_is_refused_before_it_is_read(place):
    inputs = [x.detach() for x in random_inputs(2, 9, 5, 4)]
    inputs[place] = inputs[place][..., :-1]
    with pytest.raises(ValueError, match="selective scan: .* is .*, not"):
        CompiledScan.apply(*inputs, None, None, 4, True)


def test_denormal_numbers_survive_after_loading():
    assert selective_scan_form() == "compiled"
    selective_scan(*random_inputs(1, 4, 5, 4))
    assert sys.float_info.min * 0.5 > 0
    assert (torch.tensor([1.2e-38]) * 0.5).item() > 0


def test_processes_that_build_at_once_all_work_and_leave_one_file(source):
    processes = [ask(source) for _ in range(4)]
    assert [process.communicate()[0].strip() for process in processes] == ["42"] * 4
    assert len(cached(source)) == 1


@pytest.mark.parametrize("damage", [lambda x: b"", lambda x: x[:5000], lambda x: x[:-1], lambda x: bytes(len(x))])
def test_a_damaged_library_is_built_again(source, damage):
    assert library(source).answer() == 42
    (path,) = cached(source)
    whole = path.read_bytes()
    path.unlink()  # this process has it mapped
    path.write_bytes(damage(whole))
    assert ask(source).communicate()[0].strip() == "42"
    assert path.read_bytes() == whole


def test_a_library_is_built_once_and_again_for_another_source_or_other_flags(source, undecided, monkeypatch):
    assert library(source).answer() == 42
    (first,) = cached(source)
    written = first.stat().st_mtime_ns
    library.cache_clear()
    assert library(source).answer() == 42
    assert [path.stat().st_mtime_ns for path in cached(source)] == [written]
    library.cache_clear()
    source.write_text(ANSWER.replace("42", "43"))
    assert library(source).answer() == 43
    library.cache_clear()
    monkeypatch.setattr(native, "FLAGS", ("-O0",))
    assert library(source).answer() == 43
    assert len(cached(source)) == 3


def test_a_build_that_dies_half_way_leaves_nothing(source, tmp_path, undecided, monkeypatch):
    compiler = tmp_path / "dying"
    compiler.write_text(
        '#!/bin/sh\n[ "$1" = --version ] && exit 0\nfor out; do :; done\necho half > "$out"\nkill -9 $$\n'
    )
    compiler.chmod(0o755)
    monkeypatch.setenv("CXX", str(compiler))
    assert isinstance(library(source), Missing)
    assert cached(source) == []


def test_a_failed_build_is_reported_in_the_words_of_the_compiler(source):
    source.write_text("#error this will not do\n")
    found = library(source)
    assert isinstance(found, Missing)
    assert "this will not do" in found.reason


def test_a_cache_that_cannot_be_written_is_done_without(source, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert library(source).answer() == 42


@pytest.mark.parametrize(
    ("name", "value", "form"),
    [("PATH", os.devnull, "chunked (no C++ compiler found)"), (native.SWITCH, "0", f"chunked ({native.SWITCH}=0)")],
)
def test_without_compiled_code_the_chunked_form_gives_the_same(name, value, form, undecided, monkeypatch):
    inputs = random_inputs(2, 37, 20, 5)
    assert selective_scan_form() == "compiled"
    fast = outputs_and_gradients(selective_scan, inputs, [])
    library.cache_clear()
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setenv(name, value)
    assert selective_scan_form() == form
    fallback = outputs_and_gradients(selective_scan, inputs, [])
    assert bits(fallback) == bits(outputs_and_gradients(selective_scan, inputs, [], backend="torch"))
    for a, b in zip(fallback, fast, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-10)
