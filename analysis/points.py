"""PointTable: measured points from anywhere, with what each column means said by whoever made them.

    run directories, wandb files, the wandb API,
    CSV, JSONL, Parquet, a description in YAML   ──▶ PointTable ──▶ archscale fit, archscale report

Nothing is guessed from a column's name: a column without a declaration has its name as its meaning and no unit.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import pandas as pd

from analysis.table import Column


@dataclass(frozen=True, kw_only=True, eq=False)
class PointTable:
    """`frame` has a row a point; `columns` declares what its columns mean, for every column of the frame.

    `flops_accounting` says how the compute of the rows is counted, and is empty where nobody said so. `source` is where
    the points came from, as an error or a report names it.
    """

    frame: pd.DataFrame
    columns: Mapping[str, Column]
    source: str
    name: str
    title: str = ""
    question: str = ""
    flops_accounting: str = ""
    notes: tuple[str, ...] = field(default=())
