"""The paper's figures (arXiv 2507.06607) drawn again: what the software must say of its points by itself."""

import os
import re
from pathlib import Path

import pytest

from analysis.report.evidence import gather
from analysis.report.fitted import fitted_gaps
from analysis.report.limits import standard_error
from analysis.report.point_rows import PointRows
from analysis.report.published import description, descriptions_of, published_names
from analysis.report.summary import summarise
from analysis.sources import read_description, read_points
from archscale.registry import UserError
from archscale.spec import FitSettings
from tests.analysis.published_data import published

YOCO, SAMBAY, TRANSFORMER = "Samba+YOCO μP++", "SambaY μP++", "Transformer++ μP++"


def data_folder() -> Path:
    published("archscale_sambay", "points.csv")
    return Path(os.environ.get("ARCHSCALE_PUBLISHED_DATA", Path(__file__).parents[3].parent / "shared" / "data"))


def evidence_of(name: str):
    points = read_points(str(description(name)), data=data_folder())
    said = {key: getattr(points.fit, key) for key in ("law", "x", "y", "group")}
    rows, settings = PointRows.of(points, FitSettings(**said))
    return gather(table=rows, missing=[], settings=settings)


@pytest.fixture(scope="module")
def evidence():
    return evidence_of("sambay_flops")


@pytest.fixture(scope="module")
def said(evidence):
    summary = summarise(evidence)
    return {"headline": summary.headline} | {heading: "\n".join(lines) for heading, lines in summary.headed()}


@pytest.mark.parametrize("name", published_names())
def test_a_packaged_description_declares_every_column_and_names_every_series(name):
    described = read_description(description(name))
    points = published(*Path(described.points).parts)
    assert set(described.columns) == set(points.columns)
    (axis,) = described.where.values()
    assert set(described.titles) == set(points[points["axis"] == axis]["series"])
    assert len(set(described.titles.values())) == len(described.titles)


def test_the_measured_losses_of_samba_yoco_are_lower_at_all_five_scales(said):
    measured = said["What these runs establish"]
    assert (
        f"The measured loss of {YOCO} is lower than that of {SAMBAY} at all 5 common scales: by 0.0037 at" in measured
    )
    assert "and 0.0006 at 6.7·10²¹ FLOPs" in measured
    assert "spent the same" not in measured
    assert f"{YOCO} has the lowest measured loss at each of the 5 common scales." in said["headline"]


def test_the_lower_limit_of_sambay_is_called_an_extrapolation_that_the_runs_cannot_tell(said):
    extrapolated, untold = said["What is only extrapolated"], said["What they cannot tell"]
    assert f"the curve of {SAMBAY} ends lower than that of {YOCO} is an extrapolation" in said["headline"]
    assert "cannot tell whether it does (p = 0.64)" in said["headline"]
    assert f"That {SAMBAY} ends lowest is an extrapolation" in extrapolated
    assert f"The irreducible loss of {SAMBAY}, C = 0.585 ± 0.033" in extrapolated
    assert f"The irreducible loss of {YOCO}, C = 0.607 ± 0.030" in extrapolated
    assert f"loss C of {YOCO} differs from that of {SAMBAY} (p = 0.64)" in untold
    assert re.search(rf"loss C of {re.escape(SAMBAY)} differs from .*{re.escape(TRANSFORMER)} \(p = 0\.16\)", untold)


def test_the_intervals_are_the_published_ones_within_their_grid(evidence):
    """[.435, .708] and [.468, .724] are the outermost points inside the set on a grid with steps of .0083."""
    for label, low, high, error in ((SAMBAY, 0.435, 0.708, 0.033), (YOCO, 0.468, 0.724, 0.030)):
        ends = evidence.fits[label].intervals["C"]
        assert low - 0.0088 < ends.low < low + 0.0005
        assert high - 0.0005 < ends.high < high + 0.0088
        assert round(standard_error(evidence.fits[label], "C"), 3) == error


def test_fitted_losses_are_told_apart_where_their_interval_leaves_out_zero_and_nowhere_else(evidence, said):
    gaps = fitted_gaps(evidence)[YOCO, SAMBAY]
    assert len(gaps) == 5
    assert [gap.distinguishable for gap in gaps] == [True, True, False, False, False]
    assert all((0 in gap.interval) != gap.distinguishable and not gap.extrapolated for gap in gaps)
    assert (
        f"The fitted loss of {YOCO} is distinguishably lower than that of {SAMBAY} at 2 of the 5 measured scales: by "
        "0.0038 [0.0009, 0.0068] at 9.1·10¹⁸ FLOPs and 0.0028 [0.0005, 0.0050] at 1.0·10²⁰ FLOPs."
    ) in said["What these runs establish"]
    assert (
        "at 3 of 5 measured scales (5.8·10²⁰ FLOPs, 2.2·10²¹ FLOPs and 6.7·10²¹ FLOPs)" in said["What they cannot tell"]
    )


def test_the_papers_axis_is_said_to_be_no_equal_compute(evidence, said):
    assert evidence.x_note.startswith("counted as 6·N·T with N and T of Transformer++")
    assert "not equal compute" in said["How to read the numbers"]


def test_the_mup_series_is_called_ruined_by_its_last_run():
    """tie/muP: 2.0075 at 600B lifts C above a loss that was measured (shared/data/archscale_sambay/README.md)."""
    summary = summarise(evidence_of("sambay_data"))
    assert any(
        line.startswith("μP: the fitted irreducible loss C = 1.9716 lies above the lowest measured loss, 1.9589")
        for line in summary.cannot_tell
    )
    (line,) = [line for line in summary.hinges if line.startswith("What decides most is μP at")]
    assert "training tokens = 600 (validation loss = 2.0075)" in line
    assert "above the lowest measured loss → usable" in line


def test_the_standard_error_is_that_of_an_independent_least_squares(evidence):
    import numpy as np
    from scipy.optimize import curve_fit

    fit = evidence.fits[SAMBAY]
    scale = np.exp(np.log(fit.x).mean())
    start = [fit.parameters["A"] * scale ** -fit.parameters["b"], fit.parameters["b"], fit.parameters["C"]]
    _, covariance = curve_fit(lambda u, a, b, c: a * u**-b + c, fit.x / scale, fit.y, p0=start)
    assert standard_error(fit, "C") == pytest.approx(np.sqrt(covariance[2, 2]), rel=1e-3)
    assert standard_error(fit, "b") == pytest.approx(np.sqrt(covariance[1, 1]), rel=1e-3)


def test_a_folder_without_a_description_says_what_is_known(tmp_path):
    with pytest.raises(UserError, match="nothing packaged describes .* \\(known: archscale_sambay\\)"):
        descriptions_of(tmp_path)
