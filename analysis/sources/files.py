"""Tables in files: CSV, JSON lines and Parquet.

A header's byte order mark and the blanks around its names are dropped; semicolons and tabs may separate columns.
"""

import csv
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

from archscale.registry import UserError


def read_table_file(path: Path) -> pd.DataFrame:
    """The rows of a file, with the column names as they stand there.

    Raises:
        UserError: for a file that is absent, of another kind than its ending says, without columns, or with two columns
            of one name.
    """
    if path.suffix.lower() not in _READERS:
        listed = ", ".join(_READERS)
        raise UserError(f"{path}: a table's file ends in one of {listed}; rename it, or convert it to CSV")
    if not path.is_file():
        raise UserError(f"{path}: {'is a folder' if path.is_dir() else 'no such file'}; name a table, e.g. points.csv")
    frame = _READERS[path.suffix.lower()](path)
    frame.columns = [str(name).strip() for name in frame.columns]
    if twice := sorted({name for name in frame.columns if list(frame.columns).count(name) > 1}):
        raise UserError(f"{path}: {len(frame.columns)} columns, and {twice[0]!r} stands twice; rename one of the two")
    return frame.reset_index(drop=True)


def _read_csv(path: Path) -> pd.DataFrame:
    # The header is read apart from the rows, because pandas would rename the second of two equal names.
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            separator = _separator(file.readline())
            file.seek(0)
            lines = csv.reader(file, delimiter=separator)
            header = next(lines, [])
        rows = pd.read_csv(path, sep=separator, encoding="utf-8-sig", header=None, skiprows=lines.line_num)
    except UnicodeDecodeError:
        raise UserError(f"{path} is no CSV: it holds bytes that are not text; name a table in UTF-8") from None
    except pd.errors.EmptyDataError:
        return pd.DataFrame(columns=header or _no_header(path))
    except (pd.errors.ParserError, csv.Error) as error:
        reason = " ".join(str(error).split()).removeprefix("Error tokenizing data. C error: ")
        raise UserError(f"{path} is no CSV: {reason}; give every row the columns of the header") from None
    if len(rows.columns) != len(header):
        raise UserError(
            f"{path} is no CSV: {len(header)} names in its first line and {len(rows.columns)} columns below;"
            " give every row the columns of the header"
        )
    rows.columns = header
    return rows


def _separator(header: str) -> str:
    counts = {mark: header.count(mark) for mark in (",", ";", "\t")}
    return "," if counts[","] else max(counts, key=lambda mark: counts[mark])


def _no_header(path: Path) -> list[str]:
    raise UserError(f"{path} is empty: its first line names the columns, each further line is a point")


def _read_json_lines(path: Path) -> pd.DataFrame:
    rows = []
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise UserError(f"{path} holds no JSON lines: its bytes are not text; name a table in UTF-8") from None
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise UserError(f"{path}, line {number} is no JSON ({error.msg}): write one object a line") from None
        if not isinstance(row, dict):
            raise UserError(f"{path}, line {number} is no JSON object: write {{COLUMN: VALUE, …}}, one a line")
        rows.append(flat(row))
    if not rows:
        raise UserError(f"{path} is empty: write one JSON object a line, each a point")
    return pd.DataFrame(rows)


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """{"config": {"lr": 1}} → {"config.lr": 1}"""
    found: dict[str, Any] = {}
    for key, value in values.items():
        found |= flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return found


def _read_parquet(path: Path) -> pd.DataFrame:
    try:
        return pd.read_parquet(path)
    except (pa.ArrowException, OSError) as error:
        reason = " ".join(str(error).split())[:120]
        raise UserError(f"{path} is no Parquet file ({reason}): write it again, or name a CSV") from None


_READERS: Mapping[str, Callable[[Path], pd.DataFrame]] = {
    ".csv": _read_csv,
    ".tsv": _read_csv,
    ".jsonl": _read_json_lines,
    ".parquet": _read_parquet,
}
