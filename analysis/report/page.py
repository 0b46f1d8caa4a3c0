"""The page of a report: report.html from its template, with plotly.js, data, style and script inlined.

The page loads nothing, and a content security policy with the hashes of its own two scripts keeps any other script
from running, whatever a log or a title contains.
"""

import base64
import hashlib
import json
import re
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape
from plotly.offline import get_plotlyjs

from analysis.report import traces
from analysis.report.reading import Reading
from analysis.report.run_details import run_details, run_summaries


def html_document(header: dict[str, str], reading: Reading) -> str:
    templates = Environment(
        loader=PackageLoader("analysis.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    rows = reading.runs.table.records()
    templates.filters["sentence"] = _sentences([row["run_id"] for row in rows])
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
        notes=reading.notes,
        captions=reading.captions,
        figures={name: Markup(_inline_json(figure)) for name, figure in reading.interactive.items()},
        panels=reading.panels,
        noun=reading.runs.table.noun,
        runs=run_summaries(rows, reading.runs),
        details=Markup(_inline_json(run_details(rows, reading.runs))),
        policy=policy,
        library=Markup(library),
        script=Markup(script),
    )


def _sentences(run_ids: Sequence[str]) -> Callable[[str], Markup]:
    """Text → escaped, run ids linked to their details, and no line break inside F(1, 2), p = 0.1 or 95 %."""
    known = {str(escape(run_id)): run_id for run_id in run_ids}
    pattern = re.compile("|".join(re.escape(run_id) for run_id in sorted(known, key=len, reverse=True)) or "(?!)")
    link = Markup('<a href="#{}">{}</a>')

    def sentence(text: str) -> Markup:
        bound = re.sub(r"(?<=F\(\d,) | (?=%)|(?<=\bp) (?=[=<] )|(?<=\bp [=<]) ", "\u00a0", text)
        linked = pattern.sub(lambda m: link.format(quote(traces.anchor(known[m[0]])), known[m[0]]), str(escape(bound)))
        return Markup(linked)

    return sentence


def _inline_json(value: Any) -> str:
    """JSON that may stand inside a script element: no character of it can end the element or open a comment."""
    text = json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _hash(script: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"
