"""What a report must know of the cells behind its runs: their settings, and compute as its command counts it."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from archscale.scaling.flops import training_flops
from archscale.study import Cell, StudyCell

if TYPE_CHECKING:
    import pandas as pd


def setting_of(cell: Cell) -> str:
    """What the study set for this cell beside the architecture: cells with one setting are there to be compared."""
    return " ".join(text for text in cell.overrides if not text.startswith("arch="))


def recount(runs: "pd.DataFrame", cells: Sequence[StudyCell]) -> "pd.DataFrame":
    """The `runs` of a RunTable with what their cells add: the setting, the base learning rate, and compute under the
    cell's FLOPs accounting.

    Runs keep the accounting they were trained with; a report speaks of the one that is asked for now. A run without a
    result has no compute.
    """
    runs = runs.copy()
    settings = {cell.run_id: setting_of(cell) for cell in cells}
    runs["setting"] = runs["run_id"].map(settings)
    base_rates = {cell.run_id: cell.config.scale.base.learning_rate for cell in cells}
    runs["base_learning_rate"] = runs["run_id"].map(base_rates).astype(float)
    measured = runs[runs["compute"].notna()]
    found = dict(zip(measured["run_id"], zip(measured.index, measured["tokens"], strict=True), strict=True))
    for cell in cells:
        if cell.run_id in found:
            place, tokens = found[cell.run_id]
            runs.at[place, "compute"] = training_flops(cell.spec, int(tokens))
            runs.at[place, "flops_accounting"] = cell.spec.flops_accounting.value
    return runs
