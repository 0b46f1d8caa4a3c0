"""Training curves of a group as one line with gaps: a thousand runs are drawn as fast as a few.

run 1 ── rows ── gap ── run 2 ── rows ── gap …        a gap is a row of nan
"""

from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd

from analysis.report import series
from analysis.report.gathered import Gathered


@dataclass(frozen=True, kw_only=True)
class Curves:
    """Runs of one group that finished, or that did not. `rows` has tokens, train_loss and validation_loss, in nats per
    token, and a row of nan after every run; `lengths` counts the rows of each of `runs`, its gap included.
    """

    label: str
    finished: bool
    runs: tuple[dict[str, Any], ...]
    lengths: tuple[int, ...]
    rows: pd.DataFrame

    def validated(self) -> tuple[pd.DataFrame, tuple[int, ...]]:
        """The rows with a validation loss, and how many of them each run has."""
        has = self.rows["validation_loss"].notna().to_numpy()
        ends = np.cumsum((0, *self.lengths))
        counts = tuple(int(has[low:high].sum()) for low, high in pairwise(ends))
        return self.rows[has], counts


@lru_cache(maxsize=1)
def joined_curves(found: Gathered) -> tuple[Curves, ...]:
    """By label, finished runs first; nothing for a group without a training curve."""
    curves = series.training_curves(found)
    kinds: dict[tuple[str, bool], list[dict[str, Any]]] = {}
    for row in found.table.records():
        if row["run_id"] in curves:
            kinds.setdefault((found.label_of(row), row["state"] == "finished"), []).append(row)
    gap = pd.DataFrame({"tokens": [np.nan], "train_loss": [np.nan], "validation_loss": [np.nan]})
    joined = []
    for label, finished in sorted(kinds, key=lambda kind: (kind[0], not kind[1])):
        runs = kinds[label, finished]
        parts = [curves[row["run_id"]] for row in runs]
        joined.append(
            Curves(
                label=label,
                finished=finished,
                runs=tuple(runs),
                lengths=tuple(len(part) + 1 for part in parts),
                rows=pd.concat([frame for part in parts for frame in (part, gap)], ignore_index=True),
            )
        )
    return tuple(joined)
