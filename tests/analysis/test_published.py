"""Published fits of the SambaY paper (arXiv 2507.06607) from the loss points in its code (microsoft/ArchScale, MIT)."""

import math

import numpy as np
import pytest

from analysis.compare import compare, compare_all
from analysis.fit import fit, fit_groups
from analysis.intervals import f_limit
from tests.analysis.published_data import published

COLUMNS = {"x": "x", "y": "loss", "group": "series"}
SAMBAY, YOCO, TRANSFORMER = "flops/SambaY muP++", "flops/Samba+YOCO muP++", "flops/Transformer++ muP++"
ON_ITS_BOUND = "tie/muP"


@pytest.fixture(scope="module")
def points():
    return published("archscale_sambay", "points.csv")


@pytest.fixture(scope="module")
def reference():
    return published("archscale_sambay", "published_and_refit.csv").set_index("series")


@pytest.fixture(scope="module")
def fits(points):
    return fit_groups("power_offset", points, **COLUMNS)


def test_thirteen_of_fourteen_published_curves_are_the_global_optimum(fits, reference):
    """The other was published with C on the bound C ≤ min(loss) of the paper's own call."""
    legends = reference.dropna(subset=["pub_A"])
    agree = [
        name
        for name, row in legends.iterrows()
        if all(abs(fits[name].parameters[p] - row[f"pub_{p}"]) <= 0.005 for p in "AbC")
    ]
    assert len(legends) == 14
    assert set(legends.index) - set(agree) == {ON_ITS_BOUND}


def test_every_optimum_agrees_with_the_reference_refit(fits, reference):
    assert set(fits) == set(reference.index)
    for name, row in reference.iterrows():
        found = fits[name]
        assert found.sum_of_squares == pytest.approx(row.refit_sse, rel=1e-9)
        assert found.sum_of_squares <= row.archscale_sse
        np.testing.assert_allclose(
            list(found.parameters.values()), [row.refit_A, row.refit_b, row.refit_C], rtol=2e-6, err_msg=name
        )


def test_one_diverged_run_ruins_the_mup_series_and_the_fit_says_so(fits, points):
    found = fits[ON_ITS_BOUND]
    assert found.parameters["C"] > points[points.series == ON_ITS_BOUND].loss.min()
    assert found.verdicts["b"] == "not identified"
    assert "identified" not in found.verdicts.values()
    clean = points[(points.series == ON_ITS_BOUND) & (points.x < 600)]
    assert fit("power_offset", clean.x, clean.loss).residual_std < found.residual_std / 10


def test_the_published_intervals_of_the_irreducible_loss_are_ours_within_their_grid(fits, points, reference):
    """The reference tried C on 400 points from 0.5 (data series) or −1.5 (FLOPs series) to 1e-4 below the lowest loss.

    Its ends are the outermost points inside the set, so ours lie at most one step further out. Two ends are not
    comparable: the grid stops below the upper end of tie/muP, and the reference lets C be negative where we do not.
    """
    compared = 0
    for name, row in reference.iterrows():
        interval = fits[name].intervals["C"]
        start = -1.5 if name.startswith("flops/") else 0.5
        step = (points[points.series == name].loss.min() - 1e-4 - start) / 399
        if name != ON_ITS_BOUND:
            assert 0 <= interval.high - row.C95_hi < step, name
            compared += 1
        if row.C95_lo > start and row.C95_lo > 0 and name != ON_ITS_BOUND:
            assert 0 <= row.C95_lo - interval.low < step, name
            compared += 1
    assert compared == 27
    assert fits["flops/Transformer++ SP"].intervals["C"].low == 0


def test_the_intervals_quoted_for_sambay_and_samba_yoco(fits):
    """[.435, .708] and [.468, .724] on the grid of the reference, whose step is .0083."""
    for name, low, high in ((SAMBAY, 0.435, 0.708), (YOCO, 0.468, 0.724)):
        interval = fits[name].intervals["C"]
        assert low - 0.0088 < interval.low < low + 0.0005
        assert high - 0.0005 < interval.high < high + 0.0088


@pytest.mark.parametrize(("other", "p_value"), [(YOCO, 0.64), (TRANSFORMER, 0.16)])
def test_the_lower_irreducible_loss_of_sambay_is_not_shown_by_its_runs(points, other, p_value):
    found = compare("power_offset", points, **COLUMNS, groups=(SAMBAY, other), shared=("C",))
    assert round(found.p_value, 2) == p_value
    assert found.degrees_of_freedom == (1, 4)
    assert found.distinguishable is False
    assert found.sentence.startswith("These runs cannot tell whether the irreducible losses C of")


def test_the_standard_error_and_band_of_sambay_are_usable_numbers(fits):
    found = fits[SAMBAY]
    limit = f_limit(found.sum_of_squares, degrees_of_freedom=2, level=0.95, floor=0.0)
    assert limit / found.sum_of_squares == pytest.approx(1 + 18.5128 / 2, rel=1e-5)
    low, high = found.band(4 * found.x[-1])
    assert 0 < high[0] - low[0] < 0.1


def test_every_pair_of_the_flops_figure_gets_an_answer(points):
    results = compare_all("power_offset", points[points.series.str.startswith("flops/")], **COLUMNS)
    assert len(results) == 10 * 4
    for result in results:
        assert result.distinguishable is not None
        assert "nan" not in result.sentence
    gap = next(r for r in results if r.groups == (YOCO, SAMBAY) and hasattr(r, "gap"))
    assert gap.x == pytest.approx(6.65e21, rel=1e-3)
    assert gap.distinguishable is False
    assert math.isfinite(gap.interval.low)
