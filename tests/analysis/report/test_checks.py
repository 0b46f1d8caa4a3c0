"""What tries a fit: rows of holdout, leverage and influence against the fits they speak of."""

import pytest

from analysis.fit import fit
from analysis.report.checks import captions, forests, leverages
from tests.analysis.report.test_difference import NOISE, X, evidence


@pytest.fixture(scope="module")
def told():
    return evidence(low=0.0, high=0.05)


def test_a_row_of_influence_is_the_fit_without_that_point(told):
    row = next(row for row in forests(told)["influence"].rows if row.name == "without low at 243 FLOPs")
    y = 2 * X**-0.4 + 1.5 + NOISE
    alone = fit("power_offset", X[:-1], y[:-1])
    assert row.group == "low"
    assert row.value == pytest.approx(alone.parameters["C"], abs=1e-6)
    assert (row.low, row.high) == pytest.approx((alone.intervals["C"].low, alone.intervals["C"].high), abs=1e-5)
    assert row.against == pytest.approx(told.fits["low"].parameters["C"])


def test_every_row_of_influence_leaves_out_a_point_of_the_group_that_it_is_about(told):
    rows = forests(told)["influence"].rows
    assert {row.group for row in rows} == {"low", "high"}
    assert all(row.name.startswith(f"without {row.group} at ") for row in rows)


def test_a_row_of_holdout_is_predicted_minus_measured(told):
    (row,) = (row for row in forests(told)["holdout"].rows if row.group == "low")
    held = told.holdouts["low"]
    assert row.value == pytest.approx(1e3 * held.error)
    assert row.low < row.value < row.high


def test_leverage_stands_open_where_a_group_was_not_measured(told):
    rows = forests(told)["leverage"].rows
    assert len(rows) == len(leverages(told)) > 0
    assert sorted(row.open for row in rows) == sorted(item.extrapolated for item in leverages(told))
    assert forests(told)["leverage"].neutral == 1


def test_every_check_that_is_drawn_has_a_caption(told):
    assert captions(told).keys() == forests(told).keys()
    assert "95 %" in captions(told)["holdout"]
