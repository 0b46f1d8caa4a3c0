"""The table of what each point decides: a row a left-out point, and the figures that conclusions rest on without it.

without | C of its group | gap of the leading pair | p that their C is equal | other conclusions that change
"""

from dataclasses import dataclass

from analysis import formatting
from analysis.conclusions import Shift
from analysis.equality import testable_names
from analysis.influence import Place, shown
from analysis.report import series
from analysis.report.evidence import Evidence
from analysis.report.pairs import leading_pair
from analysis.report.sensitivity import influences
from analysis.report.text_tables import TextTable

# Of more, those that change a conclusion or move most; all are in fits.json.
_MOST_ROWS = 24


@dataclass(frozen=True, kw_only=True)
class _Without:
    """The columns of one row, and every other figure; a figure that does not depend on the point is None."""

    left_out: str
    place: Place | None
    limits: tuple[Shift, ...]
    gap: Shift | None
    p_value: Shift | None
    others: tuple[Shift, ...]

    @property
    def rank(self) -> tuple[bool, float]:
        """Changed conclusions first, then by the largest shift."""
        every = [*self.limits, *self.others, *(row for row in (self.gap, self.p_value) if row)]
        return not any(row.conclusion_changes for row in every), -max((row.shift for row in every), default=0.0)


def influence_table(evidence: Evidence) -> TextTable:
    main, both = series.main_parameter(evidence), leading_pair(evidence)
    entries = sorted(_entries(evidence), key=lambda entry: entry.rank)
    if not entries:
        return TextTable(headers=(), rows=())
    rows = [
        (
            _name(evidence, entry),
            "\n".join(_against(row, named=len(entry.limits) > 1) for row in entry.limits[:2]),
            _value(entry.gap),
            _value(entry.p_value),
            formatting.polished("; ".join(f"{row.what} ({row.conclusion})" for row in entry.others)),
        )
        for entry in entries[:_MOST_ROWS]
    ]
    if rest := entries[_MOST_ROWS:]:
        changed = sum(not entry.rank[0] for entry in rest)
        rows.append((f"{len(rest)} more, in fits.json", "", "", "", f"{changed or 'none'} of them change a conclusion"))
    names = " − ".join(both) if both else "of the two lowest"
    headers = (
        "Without",
        f"{main} of its group (with all)",
        f"Gap {names}{_with_all([entry.gap for entry in entries])}",
        f"p, equal {main}{_with_all([entry.p_value for entry in entries])}",
        "Other conclusions that change",
    )
    return TextTable(headers=headers, rows=tuple(rows), numeric=frozenset(headers[1:4]))


def _entries(evidence: Evidence) -> list[_Without]:
    main, both = series.main_parameter(evidence), set(leading_pair(evidence) or ())
    # An amplitude that carries units of x moves with its exponent, and nobody asks for it.
    asked = {"", *testable_names(evidence.law)}
    found = []
    for one in influences(evidence):
        rows: dict[str, list[Shift]] = {}
        for row in one.rows:
            rows.setdefault(row.left_out, []).append(row)
        for left_out, own in rows.items():
            limits = tuple(row for row in own if row.name == main and row.kind in ("loss", "parameter"))
            of_pair = [row for row in own if set(row.groups) == both and row.kind in ("gap", "p")]
            gap = next((row for row in of_pair if row.kind == "gap"), None)
            p_value = next((row for row in of_pair if row.kind == "p" and row.name == main), None)
            found.append(
                _Without(
                    left_out=left_out,
                    place=one.places.get(left_out),
                    limits=limits,
                    gap=gap,
                    p_value=p_value,
                    others=tuple(
                        row
                        for row in own
                        if row.conclusion_changes and row not in (*limits, gap, p_value) and row.name in asked
                    ),
                )
            )
    return found


def _name(evidence: Evidence, entry: _Without) -> str:
    if entry.place is None:
        return formatting.polished(entry.left_out)
    return f"{entry.place.group}, {evidence.place(entry.place.inputs[0])}"


def _against(row: Shift, *, named: bool) -> str:
    who = f"{row.groups[0]} " if named else ""
    return f"{who}{shown(row, row.after)} ({shown(row, row.before)}){_remark(row, ' ' if named else chr(10))}"


def _value(row: Shift | None) -> str:
    return formatting.MISSING if row is None else f"{shown(row, row.after)}{_remark(row, chr(10))}"


def _remark(row: Shift, before: str) -> str:
    """The mark of a conclusion that changes."""
    return f"{before}{row.conclusion}" if row.conclusion_changes else ""


def _with_all(rows: list[Shift | None]) -> str:
    found = next((row for row in rows if row is not None), None)
    return "" if found is None else f" ({shown(found, found.before)} with all)"
