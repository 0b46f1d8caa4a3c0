import numpy as np
import pytest

from analysis.report.cost import cost_figure, cost_of, cost_specification
from analysis.report.evidence import gather
from analysis.table import RunTable
from archscale.spec import FitSettings
from tests.analysis import fake_runs
from tests.analysis.report.test_difference import evidence


def test_cost_adds_up_to_the_whole_of_each_group(tmp_path):
    directories = fake_runs.write_troubled_study(tmp_path)
    found = gather(table=RunTable.from_directories(directories), missing=[], settings=FitSettings())
    cost = cost_of(found)
    assert cost is not None
    size = {"s": 1, "min": 60, "h": 3600}[cost.axis.split("(")[1].rstrip(")")]
    assert sum(cost.totals().values()) * size == pytest.approx(float(np.nansum(found.table.runs["train_seconds"])))
    bars = cost_specification(found)["data"]
    assert sum(sum(bar["x"]) for bar in bars) == pytest.approx(sum(cost.totals().values()), rel=1e-5)
    assert len({anchor for bar in bars for anchor in bar["customdata"]}) == len(cost.rows)
    widths = [patch.get_width() for patch in cost_figure(found).axes[0].patches]
    assert sum(widths) == pytest.approx(sum(cost.totals().values()))


def test_a_table_that_says_neither_time_nor_compute_has_no_cost():
    found = evidence(low=0.0)
    assert cost_of(found) is None
    assert cost_figure(found) is None
    assert cost_specification(found) is None
