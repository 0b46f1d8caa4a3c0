"""The page of a report: report.html from its template, with plotly.js, data, style and script inlined.

The page loads nothing, and a content security policy with the hashes of its own two scripts keeps any other script
from running, whatever a log or a title contains.
"""

import base64
import hashlib
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape
from plotly.offline import get_plotlyjs

from analysis import formatting
from analysis.report import traces
from analysis.report.gathered import Gathered
from analysis.report.reading import Reading
from analysis.report.style import styles
from archscale.runlog.directory import RunDirectory
from archscale.spec import to_json

_LOG_LINES = 40
_LOG_BYTES = 65536
_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|[\x00-\x08\x0b-\x1f\x7f]")


def html_document(header: dict[str, str], reading: Reading) -> str:
    templates = Environment(
        loader=PackageLoader("analysis.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    rows = reading.runs.table.records()
    templates.filters["sentence"] = lambda text: _sentence(text, [row["run_id"] for row in rows])
    library = get_plotlyjs()
    script = templates.get_template("report.js").render()
    policy = (
        "default-src 'none'; img-src data: blob:; style-src 'unsafe-inline'; "
        f"script-src {_hash(library)} {_hash(script)}"
    )
    return templates.get_template("report.html.j2").render(
        header=header,
        summary=reading.summary,
        facts=reading.facts,
        tables=reading.tables,
        captions=reading.captions,
        figures={name: Markup(_inline_json(figure)) for name, figure in reading.interactive.items()},
        panels=reading.panels,
        runs=[_run_details(row, reading.runs) for row in rows],
        policy=policy,
        library=Markup(library),
        script=Markup(script),
    )


def _run_details(row: dict[str, Any], found: Gathered) -> dict[str, Any]:
    directory = RunDirectory(Path(row["path"]))
    provenance = directory.provenance()
    label = found.label_of(row)
    commit = row["git_commit"] if isinstance(row["git_commit"], str) else "not recorded"
    about = {
        "Run": row["run_id"],
        "State": " ".join(str(part) for part in (row["state"], row["failure"]) if isinstance(part, str)),
        "Message": row["message"],
        "Commit": commit + (" with local changes (see diff.patch of the attempt)" if row["git_dirty"] else ""),
        "Versions": ", ".join(
            f"{name} {provenance[key]}"
            for name, key in (("ArchScale", "archscale"), ("PyTorch", "torch"), ("Python", "python"))
            if provenance.get(key)
        ),
        "Machine": provenance.get("host"),
        "Started": row["started"],
        "Attempts": row["attempts"],
        "Training time": formatting.seconds(row["train_seconds"]),
        "Command": provenance.get("command"),
        "Directory": row["path"],
    }
    return {
        "anchor": traces.anchor(row["run_id"]),
        "label": label,
        "color": styles(found.labels)[label].color,
        "shape": found.shape_of(row),
        "cells": [
            (value, "" if value == formatting.MISSING else unit)
            for value, unit in (
                (formatting.count(row["parameters"]), "params"),
                (formatting.count(row["tokens"]), "tokens"),
                (formatting.scientific(row["compute"]), "FLOPs"),
                (formatting.loss(row["validation_loss"]), "nats/token"),
            )
        ],
        "state": row["state"],
        "about": {key: str(value) for key, value in about.items() if isinstance(value, str | int) and value != ""},
        "spec": json.dumps(to_json(directory.spec()), indent=2, ensure_ascii=False),
        "log": _log_tail(directory.log_path()),
    }


def _log_tail(path: Path | None) -> str:
    """The last 40 lines, without terminal codes; of a line that was overwritten in place only its last state."""
    if path is None:
        return ""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - _LOG_BYTES))
        lines = file.read().decode(errors="replace").rstrip().split("\n")
    return "\n".join(_CONTROL.sub("", line.rstrip("\r").rpartition("\r")[2]) for line in lines[-_LOG_LINES:])


def _sentence(text: str, run_ids: Sequence[str]) -> Markup:
    """Escaped, run ids linked to their details, and no line break inside F(1, 2), p = 0.1 or 95 %."""
    bound = re.sub(r"(?<=F\(\d,) | (?=%)|(?<=\bp) (?=[=<] )|(?<=\bp [=<]) ", "\u00a0", text)
    escaped = str(escape(bound))
    known = {str(escape(run_id)): run_id for run_id in run_ids}
    if not known:
        return Markup(escaped)
    pattern = "|".join(re.escape(run_id) for run_id in sorted(known, key=len, reverse=True))
    link = Markup('<a href="#{}">{}</a>')
    return Markup(re.sub(pattern, lambda m: link.format(quote(traces.anchor(known[m[0]])), known[m[0]]), escaped))


def _inline_json(value: Any) -> str:
    """JSON that may stand inside a script element: no character of it can end the element or open a comment."""
    text = json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _hash(script: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"
