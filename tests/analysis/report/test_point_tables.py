import json
import re

import numpy as np
import pandas as pd
import pytest

from analysis.columns import Column
from analysis.fit import fit_groups
from analysis.points import PointTable
from analysis.report.evidence import gather
from analysis.report.law_report import law_reading
from analysis.report.page import html_document
from analysis.report.point_rows import PointRows
from analysis.report.summary import summarise
from analysis.report.text_tables import run_table
from analysis.report.write import write_table_report
from analysis.rule_choices import Rules
from archscale.registry import UserError
from archscale.spec import FitSettings
from tests.analysis.fake_runs import ATTACK, strict_json
from tests.analysis.page_reader import Page

SETTINGS = FitSettings(x="tokens", y="loss", group="model")
BILLIONS = np.array([10.0, 20.0, 40.0, 80.0, 160.0])
COLUMNS = {"tokens": Column(meaning="Tokens seen", unit="1e9 tokens"), "loss": Column(meaning="Test loss", unit="bits")}


def frame_of(**limits: float) -> pd.DataFrame:
    wiggle = np.array([1, -1, 0, 1, -1])
    parts = [
        pd.DataFrame(
            {"tokens": BILLIONS, "model": name, "loss": 3 * BILLIONS**-0.5 + limit + 1e-3 * wiggle, "depth": 7}
        )
        for name, limit in limits.items()
    ]
    return pd.concat(parts, ignore_index=True)


def points_of(frame: pd.DataFrame, **more) -> PointTable:
    columns = {str(name): Column(meaning=str(name)) for name in frame} | COLUMNS
    return PointTable(**{"frame": frame, "columns": columns, "source": "points.csv", "name": "points"} | more)


def evidence_of(points: PointTable, settings: FitSettings = SETTINGS):
    rows, inside = PointRows.of(points, settings)
    return gather(table=rows, missing=[], settings=inside)


def said_of(points: PointTable, settings: FitSettings = SETTINGS) -> str:
    summary = summarise(evidence_of(points, settings))
    return "\n".join([summary.headline, *(line for _, lines in summary.headed() for line in lines)])


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    write_table_report(points_of(frame_of(a=1.0, b=1.2), titles={"a": "Model A"}), SETTINGS, folder)
    return folder


def test_a_table_is_reported_in_its_own_words(out):
    text = (out / "report.md").read_text()
    assert "tokens seen = " in text or "tokens seen for Model A" in text
    assert "160·10⁹ tokens" in text
    assert "Residual std (bits)" in text
    assert not re.search(r"nats|FLOPs|unigram|commit|validation", text.replace("batch size", ""))
    assert "## Points" in text
    figures = json.loads(Page((out / "report.html").read_text()).by_id("figure-loss").text)
    assert figures["layout"]["xaxis"]["title"]["text"] == "Tokens seen (10⁹ tokens)"
    assert figures["layout"]["yaxis"]["title"]["text"] == "Test loss (bits)"


def test_the_fits_are_those_of_the_columns_as_given(out):
    values = strict_json((out / "fits.json").read_text())
    direct = fit_groups("power_offset", frame_of(a=1.0, b=1.2), x="tokens", y="loss", group="model")
    for label, name in (("Model A", "a"), ("b", "b")):
        for parameter, shown in values["fits"][label]["parameters"].items():
            assert shown["value"] == pytest.approx(direct[name].parameters[parameter], rel=1e-9)
    assert values["settings"]["x"] == values["fits"]["b"]["x_name"] == "tokens"
    assert [row["tokens"] for row in values["points"] if row["label"] == "b"] == BILLIONS.tolist()
    assert values["corpus_hash"] is None
    pd.testing.assert_frame_equal(pd.read_csv(out / "points.csv"), frame_of(a=1.0, b=1.2), check_dtype=False)


def test_a_column_with_the_name_of_a_runs_column_means_what_its_author_says():
    frame = frame_of(a=1.0, b=1.2).assign(state="diverged", seed=range(10), label="x", unigram_entropy=9.0)
    evidence = evidence_of(points_of(frame))
    assert not evidence.left_out
    assert evidence.unigram_entropy is None
    assert "diverged" not in said_of(points_of(frame)).replace("Missing or diverged", "")
    shown = run_table(evidence)
    assert {"state", "seed", "label", "depth"} <= set(shown.headers)
    assert shown.rows[0][shown.headers.index("state")] == "diverged"


def test_rows_that_are_no_points_are_named_with_the_reason():
    frame = frame_of(a=1.0, b=1.2)
    frame.loc[3, "loss"] = np.nan
    frame.loc[7, "loss"] = 9.0
    frame["outlier"] = frame.index == 7
    evidence = evidence_of(points_of(frame, rules=Rules(flagged=("outlier",))))
    assert set(evidence.left_out) == {"row-4", "row-8"}
    assert [fit.n for fit in evidence.fits.values()] == [4, 4]
    lines = summarise(evidence).missing
    assert any(line.startswith("row-4: without finite positive numbers") for line in lines)
    assert any(line.startswith("row-8: ") and "outlier" in line for line in lines)


def test_without_a_group_all_points_are_one_curve():
    evidence = evidence_of(points_of(frame_of(a=1.0)), FitSettings(x="tokens", y="loss", group=""))
    assert [fit.n for fit in evidence.fits.values()] == [5]
    assert "nothing to compare it with" in summarise(evidence).headline


@pytest.mark.parametrize(
    ("accounting", "axis"),
    [
        ("6nd_total", "Compute (FLOPs, counted as 6·N·T, N with embeddings)"),
        ("", "Compute (FLOPs, counting not declared)"),
    ],
)
def test_an_axis_in_flops_says_how_they_are_counted(accounting, axis):
    frame = frame_of(a=1.0).rename(columns={"tokens": "c"}).assign(c=lambda t: t["c"] * 1e18)
    columns = {"c": Column(meaning="Compute", unit="FLOPs"), "loss": COLUMNS["loss"], "model": Column(meaning="Model")}
    points = PointTable(frame=frame, columns=columns, source="t", name="t", flops_accounting=accounting)
    reading = law_reading(evidence_of(points, FitSettings(x="c", y="loss", group="model")))
    assert reading.interactive["loss"]["layout"]["xaxis"]["title"]["text"].replace("<br>", " ") == axis
    assert reading.facts["Counted as"] == ("6·N·T, N with embeddings" if accounting else "not declared")
    assert "One model, a, was measured" in reading.summary.headline


def test_what_a_table_says_is_text():
    frame = frame_of(**{ATTACK: 1.0, "b": 1.2})
    columns = dict(COLUMNS, loss=Column(meaning=f"Loss {ATTACK}", unit="bits"))
    points = points_of(frame, columns=columns, title=ATTACK, notes=(ATTACK,))
    header = {"name": "t", "title": ATTACK, "question": ATTACK}
    markup = html_document(header, law_reading(evidence_of(points)))
    assert ATTACK not in markup
    assert ATTACK in Page(markup).all("h1")[0].text


@pytest.mark.parametrize(
    ("change", "settings", "said"),
    [
        ({}, {"x": "token"}, "unknown column 'token'.*tokens"),
        ({"loss": "high"}, {}, "column 'loss' holds 'high'"),
        ({"loss": np.nan}, {}, "of 5 rows none has finite positive numbers"),
        ({"flops_accounting": ["6nd"] * 4 + ["modules"], "tokens": BILLIONS}, {"x": "depth_squared"}, "unknown column"),
    ],
)
def test_mistakes_are_named(change, settings, said):
    frame = frame_of(a=1.0).assign(**change)
    with pytest.raises(UserError, match=said):
        evidence_of(points_of(frame), FitSettings(**{"x": "tokens", "y": "loss", "group": "model"} | settings))


def test_a_gap_that_four_decimals_do_not_show_is_small_and_not_zero():
    frame = frame_of(a=1.0, b=1.2)
    frame.loc[frame["model"] == "b", "loss"] = frame.loc[frame["model"] == "a", "loss"].to_numpy() + 3e-5
    said = said_of(points_of(frame))
    assert "by less than 0.0001 at 10·10⁹ tokens" in said
    assert not re.search(r"\bby 0\.0000", said)


def test_equal_losses_are_called_equal():
    frame = frame_of(a=1.0, b=1.2)
    frame.loc[9, "loss"] = frame.loc[4, "loss"]
    assert "equal at 160·10⁹ tokens" in said_of(points_of(frame))
