"""Columns derived from columns by plain arithmetic: D = FLOP / (6 * N).

    expression = name | `name with spaces` | number | expression (+ - * / **) expression | - expression | (expression)
               | log(expression) | exp(expression) | sqrt(expression)

The text is parsed by Python's own parser and walked here; nothing else of the language is let through.
"""

import ast
import operator
import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from archscale.registry import UserError, unknown

_OPERATORS: Mapping[type[ast.AST], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: operator.pow,
}
_FUNCTIONS: Mapping[str, Callable[[Any], Any]] = {"log": np.log, "exp": np.exp, "sqrt": np.sqrt}
_ALLOWED = "column names (in `backticks` where they hold spaces), numbers, + - * / ** ( ), log, exp and sqrt"
# Deeper nesting than this would reach the limits of the parser before it reached those of a reader.
_LONGEST = 250


def derive(frame: pd.DataFrame, name: str, expression: str) -> pd.Series:
    """The column `name` = `expression` over the rows of `frame`, float64; 1/0 is inf and log(-1) is nan.

    Raises:
        UserError: for a name the table has already, an unknown column, a column of text, or anything but arithmetic.
    """
    if len(expression) > _LONGEST:
        raise UserError(f"derive {name}: {len(expression)} characters; {_LONGEST} are allowed, derive it in two steps")
    where = f"derive {name} = {expression}"
    if name in frame.columns:
        raise UserError(f"{where}: the table has a column {name!r} already; give the new one another name")
    tree, quoted = _parse(expression, where)
    with np.errstate(all="ignore"):
        value = _Arithmetic(frame=frame, quoted=quoted, where=where).value(tree)
    return pd.Series(np.broadcast_to(value, len(frame)).copy(), index=frame.index, name=name, dtype=float)


def numbers(column: pd.Series, where: str) -> pd.Series:
    """The column as float64.

    Raises:
        UserError: when it holds something else, naming the first such value.
    """
    if not (converted := pd.to_numeric(column, errors="coerce").astype(float)).isna().any():
        return converted
    text = column[converted.isna() & column.notna()]
    # What a measurement that failed is written as stays a missing number, which a fit refuses by itself.
    text = text[~text.astype(str).str.strip().str.lower().isin({"nan", ""})]
    if len(text):
        raise UserError(
            f"{where}: column {column.name!r} holds text, e.g. {text.iloc[0]!r} in row {int(text.index[0]) + 1};"
            " numbers with a decimal point are needed"
        )
    return converted


def _parse(expression: str, where: str) -> tuple[ast.expr, dict[str, str]]:
    quoted: dict[str, str] = {}

    def placeholder(found: re.Match[str]) -> str:
        name = f"_quoted_{len(quoted)}"
        quoted[name] = found.group(1)
        return name

    try:
        return ast.parse(re.sub(r"`([^`]+)`", placeholder, expression).strip(), mode="eval").body, quoted
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise UserError(f"{where}: this is no arithmetic; write {_ALLOWED}") from None


class _Arithmetic:
    def __init__(self, *, frame: pd.DataFrame, quoted: Mapping[str, str], where: str) -> None:
        self.frame, self.quoted, self.where = frame, quoted, where

    def value(self, node: ast.expr) -> Any:
        match node:
            case ast.Constant(value=bool()):
                pass
            case ast.Constant(value=int() | float() as number):
                # As a float, or 9 ** 9 ** 9 would be computed to the last of its digits.
                return np.float64(number)
            case ast.UnaryOp(op=ast.USub(), operand=inner):
                return -self.value(inner)
            case ast.UnaryOp(op=ast.UAdd(), operand=inner):
                return self.value(inner)
            case ast.BinOp(left=left, op=kind, right=right) if type(kind) in _OPERATORS:
                return _OPERATORS[type(kind)](self.value(left), self.value(right))
            case ast.Call(func=ast.Name(id=function), args=[inner], keywords=[]) if function in _FUNCTIONS:
                return _FUNCTIONS[function](self.value(inner))
            case ast.Name() | ast.Attribute():
                return self._column(node)
        raise UserError(f"{self.where}: {_shown(node)} is not allowed; write {_ALLOWED}")

    def _column(self, node: ast.Name | ast.Attribute) -> np.ndarray:
        """A name, or names joined by dots, which is how the columns of foreign wandb runs are called."""
        name = ast.unparse(node)
        name = self.quoted.get(name, name)
        if name not in self.frame.columns:
            raise unknown("column", name, [str(c) for c in self.frame.columns], hint=f"It stands in {self.where}.")
        return numbers(self.frame[name], self.where).to_numpy()


def _shown(node: ast.expr) -> str:
    text = ast.unparse(node)
    return repr(text if len(text) <= 40 else f"{text[:37]}...")
