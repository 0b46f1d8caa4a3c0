"""A table after its data rules: the points of a fit, why every other row is none, and what each rule changed."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from analysis.curve import fit_curve
from analysis.laws import Law
from analysis.observations import find_law, observe
from analysis.rule_choices import Rules
from analysis.solve.losses import Loss
from archscale.registry import UserError, unknown

# The standard deviation of a normal distribution over its median absolute deviation.
_SIGMA_PER_MAD = 1.482602218505602
_TRUTH = {"true": True, "1": True, "1.0": True, "false": False, "0": False, "0.0": False}

# The residuals of a robust fit to the rows of one group, in their order.
Residuals = Callable[[pd.DataFrame], np.ndarray]


@dataclass(frozen=True, kw_only=True)
class LeftOut:
    """What one rule took out: the labels of the rows, and why."""

    rule: str
    rows: tuple[int, ...]
    reason: str


@dataclass(frozen=True, kw_only=True, eq=False)
class Ruled:
    """`points` are what a fit reads; every other row of the table is in `left_out`, or in the mean of a point.

    `merged` has, by the label of a point that is a mean over seeds, the number of rows it stands for.
    """

    points: pd.DataFrame
    left_out: tuple[LeftOut, ...] = ()
    merged: Mapping[int, int] = field(default_factory=dict)

    @property
    def reasons(self) -> dict[int, str]:
        """Why a row is no point, by its label."""
        return {row: entry.reason for entry in self.left_out for row in entry.rows}


@dataclass(frozen=True, kw_only=True)
class Delta:
    """One parameter of one group under all rules, and with one of them undone (nan where that cannot be fitted).

    `rows` counts what the rule left out of the whole table.
    """

    rule: str
    rows: int
    group: str
    parameter: str
    with_rule: float
    without_rule: float

    @property
    def change(self) -> float:
        return self.without_rule - self.with_rule


def apply_rules(
    rules: Rules,
    frame: pd.DataFrame,
    *,
    x: Sequence[str],
    y: str,
    group: str | None = None,
    residuals: Residuals | None = None,
) -> Ruled:
    """The points of a table whose row labels are unique; columns x and y hold numbers.

    Args:
        residuals: of a robust first fit; `residual_mads` alone asks for them.

    Raises:
        UserError: for an unknown column, a flag that is not true or false, a seed twice in one cell, or annealed beside
            unannealed rows where no rule says which.
    """
    known = _Columns(rules=rules, x=tuple(x), y=y, group=group, residuals=residuals)
    known.check(frame)
    rest, left_out = frame, []
    for name in rules.active:
        step = getattr(known, name, None)
        rows, reason = step(rest) if step else (rest.index[:0], "")
        if len(rows):
            left_out.append(LeftOut(rule=name, rows=tuple(int(row) for row in rows), reason=reason))
            rest = rest.drop(index=rows)
    points, merged = known.means(rest) if rules.seeds and rules.seeds.take == "mean" else (rest, {})
    return Ruled(points=points, left_out=tuple(left_out), merged=merged)


def robust_residuals(law: str | Law, *, x: Sequence[str], y: str, loss: str = "ls") -> Residuals:
    """Residuals of a first fit by least absolute deviations; of ln y where `loss` is one on logarithms."""
    logarithmic = "log" in loss

    def residuals(rows: pd.DataFrame) -> np.ndarray:
        x_NI, y_N = rows[list(x)].to_numpy(dtype=float), rows[y].to_numpy(dtype=float)
        x_N = x_NI[:, 0] if len(x) == 1 else x_NI
        found = find_law(law)
        may_be_zero = tuple(name for name, of in zip(x, found.inputs, strict=True) if of in found.zero_inputs)
        names = tuple(x) if len(x) > 1 else ()
        points = observe(x_N, y_N, x_names=names, x_name=x[0], y_name=y, may_be_zero=may_be_zero)
        curve = fit_curve(found, points, loss=Loss.parse("lad-log" if logarithmic else "lad"))
        fitted_N = curve.predict(x_N / curve.scaled.scale)
        return np.log(y_N / fitted_N) if logarithmic else y_N - fitted_N

    return residuals


def refit_delta(
    rules: Rules, fitted: Callable[[Rules], Mapping[str, Mapping[str, float]]], left_out: Sequence[LeftOut]
) -> list[Delta]:
    """How each parameter moves when one rule is undone and the others stay.

    Args:
        fitted: parameters by group under the rules it is given; a UserError of its says that there is no such fit.
        left_out: what the rules take out together.
    """
    counts = {entry.rule: len(entry.rows) for entry in left_out}
    kept, found = fitted(rules) if rules.active else {}, []
    for name in rules.active:
        try:
            undone = fitted(rules.without(name))
        except UserError:
            undone = {}
        for group, parameters in kept.items():
            moved = undone.get(group, {})
            found += [
                Delta(
                    rule=name,
                    rows=counts.get(name, 0),
                    group=group,
                    parameter=parameter,
                    with_rule=value,
                    without_rule=moved.get(parameter, math.nan),
                )
                for parameter, value in parameters.items()
            ]
    return found


Out = tuple[pd.Index, str]


@dataclass(frozen=True, kw_only=True)
class _Columns:
    """The rules with what they need to know of a table; each method of a rule's name gives the rows it takes out."""

    rules: Rules
    x: tuple[str, ...]
    y: str
    group: str | None
    residuals: Residuals | None

    def check(self, frame: pd.DataFrame) -> None:
        rules = self.rules
        named = [rule.column for rule in (rules.annealing, rules.learning_rate, rules.seeds) if rule]
        cells = rules.learning_rate.cell if rules.learning_rate else ()
        for column in [*self._groups, *self.x, self.y, *named, *cells, *rules.flagged]:
            if column not in frame.columns:
                raise unknown("column", column, [str(c) for c in frame.columns])

    def annealing(self, frame: pd.DataFrame) -> Out:
        rule = self.rules.annealing
        assert rule is not None
        annealed = flags(frame, rule.column)
        wanted = annealed if rule.take == "annealed" else ~annealed
        if rule.take == "mix" or (rule.take is None and annealed.nunique() < 2):
            return frame.index[:0], ""
        if rule.take is None:
            raise UserError(
                f"column {rule.column!r}: {int(annealed.sum())} rows are annealed and {int((~annealed).sum())} are not:"
                " their losses are not comparable; say under rules.annealing take: annealed, unannealed or mix"
            )
        return frame.index[~wanted], f"{'not annealed' if rule.take == 'annealed' else 'annealed'} ({rule.column})"

    def flagged(self, frame: pd.DataFrame) -> Out:
        marked = pd.concat([flags(frame, column) for column in self.rules.flagged], axis=1).any(axis=1)
        return frame.index[marked], f"flagged in column {' or '.join(self.rules.flagged)}"

    def learning_rate(self, frame: pd.DataFrame) -> Out:
        rule = self.rules.learning_rate
        assert rule is not None
        if rule.take == "all":
            return frame.index[:0], ""
        cell = [name for name in self._cell if name != rule.column]
        mean = frame.groupby([*cell, rule.column], dropna=False)[self.y].transform(_mean).fillna(np.inf)
        best = mean.groupby([frame[name] for name in cell], dropna=False).transform("min")
        return frame.index[mean > best], f"another {rule.column} is better in its cell"

    def residual_mads(self, frame: pd.DataFrame) -> Out:
        limit, out = self.rules.residual_mads, []
        if self.residuals is None or limit is None:
            raise ValueError("residual_mads needs the residuals of a first fit")
        for _, rows in frame.groupby(self._groups, dropna=False) if self.group else [("", frame)]:
            r_N = np.abs(self.residuals(rows))
            # Residuals at the level of rounding tell nothing about outliers.
            reach = max(limit * _SIGMA_PER_MAD * float(np.median(r_N)), 1e-9 * float(rows[self.y].abs().max()))
            out += list(rows.index[r_N > reach])
        return pd.Index(out), f"more than {limit:g} deviations from a robust first fit"

    def drop_highest(self, frame: pd.DataFrame) -> Out:
        # Ties are broken by x, so that the order of rows decides nothing.
        ranked = frame.sort_values([self.y, *self.x], kind="stable", na_position="first")
        top = (ranked.groupby(self._groups, dropna=False) if self.group else ranked).tail(self.rules.drop_highest)
        return top.index, f"drop_highest: {self.rules.drop_highest}"

    def means(self, frame: pd.DataFrame) -> tuple[pd.DataFrame, dict[int, int]]:
        """One row a cell: that of its first seed, with the mean of y."""
        assert self.rules.seeds is not None
        seed, cell = self.rules.seeds.column, self._cell
        if frame.duplicated([*cell, seed]).any():
            row = frame[frame.duplicated([*cell, seed])].iloc[0]
            where = ", ".join(f"{name} = {row[name]}" for name in cell)
            raise UserError(
                f"{seed} = {row[seed]:g} stands twice in one cell ({where}):"
                " add the column that sets the two apart to rules.learning_rate.cell, or drop one"
            )
        cells = frame.sort_values(seed, kind="stable").groupby(cell, dropna=False)
        counts = cells[self.y].transform("size")
        first = cells.head(1).sort_index()
        points = first.assign(**{self.y: cells[self.y].transform(_mean)[first.index]})
        return points, {int(row): int(counts[row]) for row in first.index if counts[row] > 1}

    @property
    def _groups(self) -> list[str]:
        return [self.group] if self.group else []

    @property
    def _cell(self) -> list[str]:
        """What the rows of one cell have in common."""
        rate = self.rules.learning_rate
        return list(dict.fromkeys([*self._groups, *self.x, *((*rate.cell, rate.column) if rate else ())]))


def _mean(values: pd.Series) -> float:
    """Of all of them: one that is missing makes the mean missing."""
    return float(values.mean(skipna=False))


def flags(frame: pd.DataFrame, column: str) -> pd.Series:
    """The column as booleans: true and false, 1 and 0, or these as text.

    Raises:
        UserError: for any other value.
    """
    truth = frame[column].astype(str).str.strip().str.lower().map(_TRUTH)
    if truth.isna().any():
        bad = frame[column][truth.isna()].iloc[0]
        raise UserError(f"column {column!r} holds {bad!r} in {int(truth.isna().sum())} rows: a flag is true or false")
    return truth.astype(bool)
