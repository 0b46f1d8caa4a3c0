import numpy as np
import pandas as pd
import pytest
from scipy import stats

from analysis.columns import Column
from analysis.points import PointTable
from analysis.report.evidence import gather
from analysis.report.point_rows import PointRows
from analysis.report.ranking import ranking
from analysis.report.seeds import seed_spread
from analysis.report.summary import summarise
from analysis.report.text_tables import tables_of
from analysis.table import RunTable
from archscale.spec import FitSettings
from tests.analysis.fake_runs import spec_of, write_run

NOISE = {"a": (0.0004, -0.0004), "b": (0.0003, -0.0003)}


def evidence_of(frame: pd.DataFrame):
    columns = {name: Column(meaning=name) for name in frame}
    points = PointTable(frame=frame, columns=columns, source="t", name="t")
    rows, settings = PointRows.of(points, FitSettings(x="x", y="loss", group="model"))
    return gather(table=rows, missing=[], settings=settings)


def seeded(gap: float) -> pd.DataFrame:
    """Two models at four scales, two seeds each, b above a by `gap`."""
    rows = [
        {"model": name, "x": x, "loss": 2 * x**-0.5 + 1 + (gap if name == "b" else 0.0) + noise}
        for name in "ab"
        for x in (1.0, 2.0, 4.0, 8.0)
        for noise in NOISE[name]
    ]
    return pd.DataFrame(rows)


def test_sixteen_groups_at_one_scale_are_ranked_and_not_paired(tmp_path):
    names = [f"arch_{letter}" for letter in "abcdefghijklmnop"]
    runs = [write_run(tmp_path, spec_of(name, 8), loss=2.4 + 0.001 * k) for k, name in enumerate(names)]
    evidence = gather(table=RunTable.from_directories(runs), missing=[], settings=FitSettings())
    ranks = ranking(evidence)
    assert [rank.label for rank in ranks] == names
    assert [rank.gap for rank in ranks] == pytest.approx([0.001 * k for k in range(16)])
    assert len(tables_of(evidence)["Ranking"].rows) == 16
    summary = summarise(evidence)
    assert summary.headline == (
        "arch_a has the lowest measured loss of 16 architectures at one scale, 0.0010 below the next, arch_b."
    )
    sentences = [line for _, part in summary.headed() for line in part]
    assert not any("lower than that of" in line for line in sentences)
    assert len(sentences) < 12
    assert sum(len(line) for line in sentences) < 2500


def test_groups_at_several_scales_are_not_ranked():
    assert ranking(evidence_of(seeded(0.1))) == ()


def test_the_seed_spread_is_the_pooled_standard_deviation():
    spread = seed_spread(evidence_of(seeded(0.1)), level=0.95)
    assert spread.cells == spread.degrees_of_freedom == 8
    within = [np.var(NOISE[name], ddof=1) for name in "ab" for _ in range(4)]
    assert spread.standard_deviation == pytest.approx(np.sqrt(np.mean(within)))


def test_a_gap_within_the_spread_is_one_that_a_t_test_does_not_reject():
    frame = seeded(0.1)
    spread = seed_spread(evidence_of(frame[frame["x"] == 1.0]), level=0.95)
    first, second = (frame.loc[(frame["model"] == name) & (frame["x"] == 1.0), "loss"] for name in "ab")
    for gap in (0.9 * spread.limit(2, 2), 1.1 * spread.limit(2, 2)):
        p_value = stats.ttest_ind(first - first.mean(), second - second.mean() + gap).pvalue
        assert (p_value > 0.05) == (gap <= spread.limit(2, 2))


@pytest.mark.parametrize(("gap", "within"), [(0.0006, True), (0.0100, False)])
def test_small_gaps_are_called_seed_spread_and_large_ones_are_not(gap, within):
    measured = summarise(evidence_of(seeded(gap))).establishes
    (line,) = [line for line in measured if line.startswith("The measured loss of a is lower")]
    assert ("within seed spread" in line) == within
    assert any(line.startswith("Runs of one cell differ with a standard deviation of 0.000") for line in measured)


def test_without_repeats_no_spread_is_claimed():
    frame = seeded(0.1).drop_duplicates(["model", "x"])
    evidence = evidence_of(frame)
    assert seed_spread(evidence, level=0.95) is None
    assert not any("seed spread" in line for line in summarise(evidence).establishes)
