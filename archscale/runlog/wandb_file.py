"""Reader of offline `.wandb` files: a log of protobuf records in checksummed 32 KiB blocks.

    file    = ":W&B" 0xBEE1 0, then blocks of 32,768 bytes (the first one holds the header too)
    block   = chunk*, and fewer than 7 bytes of padding
    chunk   = crc32(type byte + data): u32, length: u16, type: u8 (1 full, 2 first, 3 middle, 4 last), data

LevelDB's log format (https://github.com/google/leveldb/blob/main/doc/log_format.md) with the plain CRC-32; records are
`wandb_internal.proto`. wandb itself is not imported (half a second): the few fields read here are declared below.
"""

import json
import struct
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd
from google.protobuf import descriptor_pb2, descriptor_pool, message, message_factory  # type: ignore[import-untyped]

from archscale.registry import UserError

BLOCK_BYTES = 32_768
_HEADER = struct.pack("<4sHB", b":W&B", 0xBEE1, 0)
_CHUNK = struct.Struct("<IHB")
_FULL, _FIRST, _MIDDLE, _LAST = 1, 2, 3, 4
_NOT_FINITE = {"NaN": float("nan"), "Infinity": float("inf"), "-Infinity": float("-inf")}

# message: {field: (number, type)}; a type in brackets is repeated. Fields left out are skipped in decoding.
SCHEMA: dict[str, dict[str, tuple[int, str]]] = {
    "Item": {"key": (1, "string"), "nested_key": (2, "[string]"), "value_json": (16, "string")},
    "Update": {"update": (1, "[Item]"), "remove": (2, "[Item]")},
    "History": {"item": (1, "[Item]")},
    "Run": {"run_id": (1, "string"), "config": (4, "Update"), "display_name": (8, "string")},
    "Exit": {"exit_code": (1, "int32")},
    "Record": {
        "history": (2, "History"),
        "summary": (3, "Update"),
        "config": (5, "Update"),
        "run": (17, "Run"),
        "exit": (18, "Exit"),
    },
}


@dataclass(frozen=True, kw_only=True)
class WandbRun:
    """What one `.wandb` file holds.

    `history` has one row per history record, columns sorted by name; a nested key is joined by dots. Whole numbers
    are int64 (Int64 where rows lack the key), other numbers float64; the client itself writes 2.0 as 2.
    `exit_code` None: crashed, or still running.
    """

    run_id: str
    name: str | None
    config: dict[str, Any]
    history: pd.DataFrame
    summary: dict[str, Any]
    exit_code: int | None
    path: Path
    damaged_blocks: int


def read_wandb_file(path: Path) -> WandbRun:
    """Reads all that is intact; a damaged block is skipped and counted, a torn tail is what a running file looks like.

    Raises:
        UserError: when the file is not a wandb log.
    """
    data = path.read_bytes()
    if not _HEADER.startswith(data[: len(_HEADER)]):
        raise UserError(f"{path} is not a wandb log: it begins with {data[:7]!r}, not {_HEADER!r}; name a .wandb file.")
    blocks = _Blocks(data)
    run_id, name, exit_code = path.stem.removeprefix("run-"), None, None
    config, summary = _Tree(), _Tree()
    rows: list[Any] = []
    for payload in blocks.payloads():
        try:
            record = Record.FromString(payload)
        except message.DecodeError as error:
            raise UserError(f"{path} holds a record this version cannot read ({error}); update archscale.") from error
        if record.HasField("history"):
            rows.append(record.history)
        elif record.HasField("summary"):
            summary.apply(record.summary)
        elif record.HasField("config"):
            config.apply(record.config)
        elif record.HasField("run"):
            run_id, name = record.run.run_id or run_id, record.run.display_name or None
            config.apply(record.run.config)
        elif record.HasField("exit"):
            exit_code = record.exit.exit_code
    return WandbRun(
        run_id=run_id,
        name=name,
        config=config.values(),
        history=_table(rows),
        summary=_finite_or_named(summary.values()),
        exit_code=exit_code,
        path=path,
        damaged_blocks=blocks.damaged,
    )


def find_wandb_files(root: Path) -> list[Path]:
    """Every `offline-run-*/run-*.wandb` below root, once each, by start time (it is in the directory's name)."""
    found = {path.resolve(): path for path in root.rglob("offline-run-*/run-*.wandb") if not path.parent.is_symlink()}
    return sorted(found.values(), key=lambda path: (path.parent.name, path))


def merge_attempts(runs: Sequence[WandbRun]) -> dict[str, WandbRun]:
    """One run per run id. `runs` are in order of attempt, as `find_wandb_files` gives them.

    A train_step that a later attempt logged again is the later attempt's; rows of one attempt are all kept. Config and
    name are the last known, the summary is updated attempt by attempt, the exit code is that of the last attempt.

    Raises:
        UserError: when a run has several attempts and one of them logged rows without train_step.
    """
    attempts: dict[str, list[WandbRun]] = {}
    for run in runs:
        attempts.setdefault(run.run_id, []).append(run)
    return {run_id: _merge(group) if len(group) > 1 else group[0] for run_id, group in attempts.items()}


def _merge(attempts: list[WandbRun]) -> WandbRun:
    return replace(
        attempts[-1],
        name=next((run.name for run in reversed(attempts) if run.name), None),
        config=next((run.config for run in reversed(attempts) if run.config), {}),
        summary={key: value for run in attempts for key, value in run.summary.items()},
        history=_merge_histories(attempts),
        damaged_blocks=sum(run.damaged_blocks for run in attempts),
    )


def _merge_histories(attempts: list[WandbRun]) -> pd.DataFrame:
    frames = []
    for number, run in enumerate(attempts):
        frame = run.history
        if frame.empty:
            continue
        if "train_step" not in frame:
            raise UserError(f"{run.path} has no column 'train_step', so attempts of run {run.run_id} cannot be merged.")
        # Nullable while merging: a key that one attempt lacks must not turn token counts into floats.
        whole = {name: "Int64" for name, dtype in frame.dtypes.items() if dtype == "int64"}
        frames.append(frame.astype(whole).assign(_attempt=number))
    if not frames:
        return attempts[-1].history
    rows = pd.concat(frames)
    last = rows.groupby("train_step")["_attempt"].transform("max")
    rows = rows[rows["_attempt"] == last].drop(columns="_attempt").sort_values("train_step", kind="stable")
    complete = [name for name in rows if rows[name].dtype == "Int64" and rows[name].notna().all()]
    return rows.astype(dict.fromkeys(complete, "int64")).sort_index(axis=1).reset_index(drop=True)


class _Blocks:
    """The record payloads of a file, and how many blocks were damaged on the way."""

    def __init__(self, data: bytes) -> None:
        self.data, self.damaged = data, 0

    def payloads(self) -> Iterator[bytes]:
        data, position = self.data, len(_HEADER)
        parts: list[bytes] = []
        while position + _CHUNK.size <= len(data):
            block_end = position - position % BLOCK_BYTES + BLOCK_BYTES
            start = position + _CHUNK.size
            if start > block_end:
                position = block_end
                continue
            crc, length, kind = _CHUNK.unpack_from(data, position)
            end = start + length
            if len(data) < end <= block_end:
                return
            chunk = data[start:end]
            if end > block_end or zlib.crc32(chunk, zlib.crc32(bytes([kind]))) != crc:
                self.damaged, parts, position = self.damaged + 1, [], block_end
                continue
            position = end
            if kind in (_FULL, _FIRST):
                parts = [chunk]
            elif parts:
                parts.append(chunk)
            if kind in (_FULL, _LAST) and parts:
                yield b"".join(parts)
                parts = []


class _Tree:
    """Nested values under update; the JSON is parsed at the end, since a summary is rewritten with every row."""

    def __init__(self) -> None:
        self._texts: dict[tuple[str, ...], str] = {}

    def apply(self, update: Any) -> None:
        for item in update.update:
            path = tuple(_keys(item))
            self._texts.pop(path, None)
            self._texts[path] = item.value_json
        for item in update.remove:
            self._texts.pop(tuple(_keys(item)), None)

    def values(self) -> dict[str, Any]:
        tree: dict[str, Any] = {}
        for (*parents, key), text in self._texts.items():
            inner = tree
            for parent in parents:
                child = inner.get(parent)
                if not isinstance(child, dict):
                    child = inner[parent] = {}
                inner = child
            inner[key] = json.loads(text)
        tree.pop("_wandb", None)
        return tree


def _keys(item: Any) -> Sequence[str]:
    return item.nested_key or (item.key,)


def _finite_or_named(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite_or_named(inner) for key, inner in value.items()}
    return _NOT_FINITE.get(value, value) if isinstance(value, str) else value


def _table(rows: list[Any]) -> pd.DataFrame:
    columns: dict[str, tuple[list[int], list[str]]] = {}
    for index, row in enumerate(rows):
        for item in row.item:
            at, texts = columns.setdefault(".".join(_keys(item)), ([], []))
            at.append(index)
            texts.append(item.value_json)
    series = {name: _column(*columns[name], count=len(rows)) for name in sorted(columns)}
    return pd.DataFrame(series, index=pd.RangeIndex(len(rows)))


def _column(at: list[int], texts: Iterable[str], *, count: int) -> pd.Series:
    # One parse for the whole column: a call for each number takes five times as long.
    values = [_finite_or_named(value) for value in json.loads(f"[{','.join(texts)}]")]
    kinds = {type(value) for value in values}
    complete = len(values) == count
    if kinds == {int} and min(values) >= -(2**63) and max(values) < 2**63:
        column = pd.Series(values, index=at, dtype="int64" if complete else "Int64")
    elif kinds <= {int, float, type(None)}:
        column = pd.Series(values, index=at, dtype="float64")
    else:
        column = pd.Series(values, index=at, dtype=object)
    return column if complete else column.reindex(range(count))


def _record_class() -> Any:
    field_type = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="archscale_wandb.proto", package="archscale_wandb", syntax="proto3")
    for message_name, fields in SCHEMA.items():
        declared = file.message_type.add(name=message_name)
        for field_name, (number, declared_type) in fields.items():
            inner = declared_type.strip("[]")
            field = declared.field.add(name=field_name, number=number)
            field.label = field_type.LABEL_OPTIONAL if inner == declared_type else field_type.LABEL_REPEATED
            if inner in SCHEMA:
                field.type, field.type_name = field_type.TYPE_MESSAGE, f".archscale_wandb.{inner}"
            else:
                field.type = getattr(field_type, f"TYPE_{inner.upper()}")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("archscale_wandb.Record"))


Record = _record_class()
