"""A description of a table in YAML: where its points are, what its columns mean, what to fit and under which rules.

points: losses.csv                    # beside this file, or in the folder of ARCHSCALE_PUBLISHED_DATA
title: …            question: …
columns: {x: {meaning: Training tokens, unit: 1e9 tokens}}
flops_accounting: 6nd_total
derive: {D: FLOP / (6 * N)}           # in order, before `where`
where: {series: [a, b]}               # or a list of conditions such as "budget<1e21"
fit: {law: chinchilla, x: [N, D], y: loss, group: series, loss: huber-log:1e-3}
rules: {drop_highest: 5, flagged: [outlier], seeds: {column: seed}}
titles: {a: Model A}
"""

import json
from dataclasses import field
from pathlib import Path
from typing import Any

import yaml
from pydantic.dataclasses import dataclass

from analysis.points import FitChoices
from analysis.rule_choices import Rules
from archscale.registry import UserError
from archscale.spec import STRICT
from archscale.spec.parsing import from_json


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Declaration:
    """`unit` may carry a factor, "1e9 tokens": it is shown with the values and never multiplied into them."""

    meaning: str
    unit: str = ""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Description:
    """`filters` are for a wandb project alone, in the language of its API."""

    points: str
    title: str = ""
    question: str = ""
    columns: dict[str, Declaration] = field(default_factory=dict)
    titles: dict[str, str] = field(default_factory=dict)
    flops_accounting: str = ""
    notes: tuple[str, ...] = ()
    where: dict[str, Any] | tuple[str, ...] = ()
    derive: dict[str, str] = field(default_factory=dict)
    filters: dict[str, Any] = field(default_factory=dict)
    fit: FitChoices = field(default_factory=FitChoices)
    rules: Rules = field(default_factory=Rules)


def read_description(path: Path) -> Description:
    """Raises: UserError for a file that is absent, no YAML, or says something else than a description."""
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; name a description (.yaml) or a table, e.g. points.csv") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is no YAML: {' '.join(str(error).split())}") from None
    if not isinstance(values, dict):
        raise UserError(f"{path} describes no table: it needs at least a line `points: FILE`")
    # A date in YAML is no JSON; as text it is what a table's column holds.
    return from_json(Description, json.dumps(values, default=str), where=str(path))
