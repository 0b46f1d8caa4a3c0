import json
import math
import shutil
import struct
import subprocess
import sys
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import pandas as pd
import pytest

from archscale.registry import UserError
from archscale.runlog.wandb_file import BLOCK_BYTES, SCHEMA, WandbRun, find_wandb_files, merge_attempts, read_wandb_file
from archscale.runlog.wandb_writer import WandbWriter
from archscale.spec import WandbSpec

CONFIG = {"arch": {"name": "sambä", "stack": [1, {"span": None}]}, "lr": 0.1 + 0.2, "tokens": 2**60, "note": "NaN"}
ROWS = [
    {"train_step": 0, "tokens": 2**53 + 1, "loss": 0.1 + 0.2, "tiny": 5e-324, "ü/é.x": 1e22, "two": 2.0, "big": 1e20},
    {
        "train_step": 1,
        "tokens": 2**62,
        "loss": math.nan,
        "up": math.inf,
        "down": -math.inf,
        "two": 0.5,
        "rare": 2**61,
    },
    {"train_step": 2, "tokens": 3, "loss": 1 / 3, "group": {"a": 1.5, "b": {"c": 7}}, "flag": True, "big": -1e300},
]
SUMMARY = {"best": 1.7976931348623157e308, "final": math.nan, "nested": {"worst": math.inf, "at": 4}, "text": "ok"}
LONG_ROWS = 1_500


@pytest.fixture(scope="module")
def small(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("small")
    with WandbWriter(WandbSpec(), run_id="small-1", name="näme", config=CONFIG, directory=root) as writer:
        for row in ROWS:
            writer.log(row)
        writer.summarize(SUMMARY)
    (path,) = find_wandb_files(root)
    return path


@pytest.fixture(scope="module")
def long(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("long")
    with WandbWriter(WandbSpec(), run_id="long", name="long", config=CONFIG, directory=root) as writer:
        for step in range(LONG_ROWS):
            writer.log({"train_step": step, "tokens": 64 * step, "loss": math.sin(step), "norm": step / 7})
    (path,) = find_wandb_files(root)
    return path


def cells(table: pd.DataFrame) -> list[dict[str, object]]:
    return [{key: value for key, value in row.items() if not pd.isna(value)} for row in table.to_dict("records")]


def test_values_come_back_exactly(small):
    run = read_wandb_file(small)
    assert (run.run_id, run.name, run.exit_code, run.damaged_blocks) == ("small-1", "näme", 0, 0)
    assert run.config == CONFIG
    expected = [dict(row) for row in ROWS]
    del expected[1]["loss"]
    expected[2] |= {"group.a": 1.5, "group.b.c": 7}
    del expected[2]["group"]
    table = run.history.drop(columns=["_runtime", "_timestamp"])
    assert cells(table) == [row | {"_step": step} for step, row in enumerate(expected)]
    assert math.isnan(table["loss"][1])
    assert table.dtypes.astype(str)[["tokens", "rare", "loss", "two", "big"]].to_list() == [
        "int64",
        "Int64",
        "float64",
        "float64",
        "float64",
    ]


def test_the_summary_is_the_last_value_of_each_key_and_what_was_summarized(small):
    summary = read_wandb_file(small).summary
    assert math.isnan(summary.pop("final"))
    assert {key: summary[key] for key in SUMMARY if key != "final"} == {
        k: v for k, v in SUMMARY.items() if k != "final"
    }
    assert (summary["train_step"], summary["up"], summary["group"]) == (2, math.inf, {"a": 1.5, "b": {"c": 7}})


@pytest.mark.parametrize("fixture", ["small", "long"])
def test_the_rows_are_those_the_client_itself_reads(fixture, request):
    path: Path = request.getfixturevalue(fixture)
    package = find_spec("wandb").submodule_search_locations[0]
    core = shutil.which("wandb-core", path=Path(package, "bin"))
    if core is None:
        pytest.skip("this wandb package ships no wandb-core binary to read with")
    command = [core, "leet", "inspect", "--no-observability", "--json", "--run-file", path, path.parent]
    records = [
        json.loads(line) for line in subprocess.run(command, capture_output=True, check=True).stdout.splitlines()
    ]
    theirs = [record["history"]["item"] for record in records if record["type"] == "history"]
    table = read_wandb_file(path).history
    assert len(theirs) == len(table)
    for mine, row in zip(cells(table), theirs, strict=True):
        numbers = {k: float(v) if v in ("NaN", "Infinity", "-Infinity") else v for k, v in row.items()}
        assert mine == {k: v for k, v in numbers.items() if v == v}


def test_the_field_numbers_are_those_of_the_clients_schema():
    from wandb.proto import wandb_internal_pb2 as theirs

    names = {
        "Item": ("HistoryItem", "SummaryItem", "ConfigItem"),
        "Update": ("SummaryRecord", "ConfigRecord"),
        "History": ("HistoryRecord",),
        "Run": ("RunRecord",),
        "Exit": ("RunExitRecord",),
        "Record": ("Record",),
    }
    assert names.keys() == SCHEMA.keys()
    for mine, counterparts in names.items():
        for counterpart in counterparts:
            fields = getattr(theirs, counterpart).DESCRIPTOR.fields_by_name
            assert {n: number for n, (number, _) in SCHEMA[mine].items()} == {n: fields[n].number for n in SCHEMA[mine]}


def test_reading_does_not_import_wandb(small):
    code = (
        "import sys; from pathlib import Path; from archscale.runlog.wandb_file import read_wandb_file; "
        "print(len(read_wandb_file(Path(sys.argv[1])).history), 'wandb' in sys.modules, 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code, small], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["3", "False", "False"]


@pytest.mark.parametrize("block", [1, 3])
def test_a_flipped_byte_costs_only_rows_of_its_block(long, tmp_path, block):
    damaged = tmp_path / "run-long.wandb"
    data = bytearray(long.read_bytes())
    assert len(data) > 6 * BLOCK_BYTES
    data[block * BLOCK_BYTES + BLOCK_BYTES // 2] ^= 0x10
    damaged.write_bytes(data)
    run, whole = read_wandb_file(damaged), read_wandb_file(long)
    lost = sorted(set(whole.history["train_step"]) - set(run.history["train_step"]))
    assert run.damaged_blocks == 1
    assert lost == list(range(lost[0], lost[-1] + 1))
    # The rows are of one size, so a block holds this many, and one more reaches in from each side.
    assert 0 < len(lost) <= BLOCK_BYTES / (len(data) / LONG_ROWS) + 2
    kept = whole.history[~whole.history["train_step"].isin(lost)].reset_index(drop=True)
    pd.testing.assert_frame_equal(run.history, kept, check_exact=True)
    assert run.exit_code == 0


def test_a_header_of_a_damaged_block_does_not_lead_the_reader_astray(long, tmp_path):
    damaged = tmp_path / "run-long.wandb"
    data = bytearray(long.read_bytes())
    data[2 * BLOCK_BYTES + 4 : 2 * BLOCK_BYTES + 6] = struct.pack("<H", 0xFFFF)
    damaged.write_bytes(data)
    run = read_wandb_file(damaged)
    assert run.damaged_blocks == 1
    assert run.history["train_step"].iloc[-1] == LONG_ROWS - 1
    assert len(run.history) < LONG_ROWS


def test_a_torn_tail_leaves_the_rows_before_it(small, tmp_path):
    torn = tmp_path / "run-small-1.wandb"
    data = small.read_bytes()
    counts = []
    for size in [*range(0, len(data), 3), len(data)]:
        torn.write_bytes(data[:size])
        run = read_wandb_file(torn)
        counts.append(len(run.history))
        assert run.damaged_blocks == 0
        assert [row["train_step"] for row in cells(run.history)] == list(range(counts[-1]))
    assert counts == sorted(counts)
    assert set(counts) == {0, 1, 2, 3}


def test_a_file_killed_before_its_first_flush_is_an_empty_run(tmp_path):
    (tmp_path / "run-some-id.wandb").write_bytes(b":W&B\xe1\xbe\x00")
    empty = read_wandb_file(tmp_path / "run-some-id.wandb")
    assert (empty.run_id, empty.name, empty.exit_code, len(empty.history)) == ("some-id", None, None, 0)
    assert (empty.config, empty.summary, empty.damaged_blocks) == ({}, {}, 0)


def test_another_file_is_refused_by_its_first_bytes(tmp_path):
    (tmp_path / "run-x.wandb").write_bytes(b"PK\x03\x04 a zip")
    with pytest.raises(UserError, match=r"not a wandb log: it begins with b'PK"):
        read_wandb_file(tmp_path / "run-x.wandb")


def test_files_are_found_once_in_order_of_their_start(tmp_path):
    names = ["b/wandb/offline-run-20260101_000000-r", "a/wandb/offline-run-20260102_000000-r"]
    for name in names:
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "run-r.wandb").touch()
    (tmp_path / "a/wandb/latest-run").symlink_to("offline-run-20260102_000000-r")
    (tmp_path / "a/wandb/offline-run-copy").symlink_to("offline-run-20260102_000000-r")
    assert find_wandb_files(tmp_path) == [tmp_path / name / "run-r.wandb" for name in names]


def attempt(run_id: str, rows: list[dict[str, float]], **fields: object) -> WandbRun:
    plain = WandbRun(
        run_id=run_id,
        name=None,
        config={},
        history=pd.DataFrame(rows),
        summary={},
        exit_code=None,
        path=Path("run.wandb"),
        damaged_blocks=0,
    )
    return replace(plain, **fields)


def test_the_last_attempt_wins_where_attempts_overlap():
    first = attempt("r", [{"train_step": s, "tokens": 2**53 + s, "loss": 1.0, "old": 2**60 + 1} for s in range(6)])
    again = [{"train_step": s, "tokens": 2**53 + s, "loss": 2.0} for s in (4, 4, 6)]
    killed = attempt("r", [], damaged_blocks=1)
    last = attempt("r", again, name="n", config={"x": 1}, summary={"loss": 2.0}, exit_code=0)
    other = attempt("s", [{"train_step": 0, "loss": 9.0}])
    merged = merge_attempts([replace(first, summary={"loss": 1.0, "best": 0}), other, killed, last])
    assert merged.keys() == {"r", "s"}
    assert merged["s"] is other
    run = merged["r"]
    assert (run.name, run.config, run.summary) == ("n", {"x": 1}, {"loss": 2.0, "best": 0})
    assert (run.exit_code, run.damaged_blocks) == (0, 1)
    assert run.history["train_step"].to_list() == [0, 1, 2, 3, 4, 4, 5, 6]
    assert run.history["loss"].to_list() == [1, 1, 1, 1, 2, 2, 1, 2]
    assert run.history["tokens"].to_list() == [2**53 + step for step in run.history["train_step"]]
    assert run.history["tokens"].dtype == "int64"
    assert run.history["old"].dropna().unique().tolist() == [2**60 + 1]


def test_attempts_without_train_step_are_not_merged():
    with pytest.raises(UserError, match="no column 'train_step'"):
        merge_attempts([attempt("r", [{"loss": 1.0}]), attempt("r", [{"train_step": 0}])])
