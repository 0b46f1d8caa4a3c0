import numpy as np
import pandas as pd
import pytest

from analysis.columns import Column
from analysis.points import PointTable
from analysis.report.difference import difference, difference_caption, difference_specification
from analysis.report.evidence import gather
from analysis.report.point_rows import PointRows
from archscale.spec import FitSettings

X = np.array([1.0, 3.0, 9.0, 27.0, 81.0, 243.0])
NOISE = 2e-4 * np.array([1, -1, 1, -1, 1, -1])


def evidence(**offsets):
    """A group a keyword: the same curve, higher by that much."""
    rows = [
        {"x": x, "loss": 2 * x**-0.4 + 1.5 + above + noise, "arch": name}
        for name, above in offsets.items()
        for x, noise in zip(X, NOISE, strict=True)
    ]
    columns = {"x": Column(meaning="compute", unit="FLOPs"), "loss": Column(meaning="loss", unit="nats/token")}
    columns["arch"] = Column(meaning="architecture", unit="")
    table = PointTable(frame=pd.DataFrame(rows), columns=columns, source="made", name="made")
    inside, settings = PointRows.of(table, FitSettings(law="power_offset", x="x", y="loss", group="arch"))
    return gather(table=inside, missing=[], settings=settings)


def test_a_curve_that_is_higher_by_two_thousandths_stands_at_two():
    found = difference(evidence(low=0.0, high=0.002))
    np.testing.assert_allclose(found.curves["low"], 0, atol=1e-9)
    np.testing.assert_allclose(found.curves["high"], 2, atol=1e-5)
    np.testing.assert_allclose(found.points["high"] - found.points["low"], 2, atol=1e-5)
    assert found.limits[0] < 0
    assert found.limits[1] > 2


def test_bars_are_the_intervals_of_the_gap_and_hold_it():
    found = difference(evidence(low=0.0, high=0.002))
    assert [place for place, _, _ in found.bars["high"]] == pytest.approx(X)
    assert all(low < 2 < high for _, low, high in found.bars["high"])
    assert found.bars["low"] == ()


def test_a_distant_curve_leaves_the_axis_and_the_caption_names_it():
    told = evidence(low=0.0, high=0.002, distant=0.4)
    found = difference(told)
    assert found.limits[1] < 20
    assert found.outside == found.beyond == ("distant",)
    assert "distant lies above the axis" in difference_caption(told)


def test_curves_far_apart_have_no_such_figure():
    told = evidence(low=0.0, high=0.4)
    assert difference(told) is None
    assert difference_specification(told) is None
