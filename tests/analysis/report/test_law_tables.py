"""The tables of comparisons and of what each point decides, on points whose answer is known."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from analysis.columns import Column
from analysis.compare import compare
from analysis.fit import fit
from analysis.leverage import leverage
from analysis.points import PointTable
from analysis.report.comparison_table import comparison_note, comparison_table
from analysis.report.evidence import gather
from analysis.report.influence_table import influence_table
from analysis.report.law_report import law_reading
from analysis.report.pairs import leading_pair, p_told
from analysis.report.point_rows import PointRows
from analysis.rule_choices import Rules
from archscale.spec import FitSettings

SETTINGS = FitSettings(x="tokens", y="loss", group="model")
TOKENS = np.geomspace(1, 64, 6)
COLUMNS = {"tokens": Column(meaning="Tokens", unit="1e9 tokens"), "loss": Column(meaning="Loss", unit="bits")}


def frame_of(*, count: int = 6, **limits: float) -> pd.DataFrame:
    rng, x = np.random.default_rng(3), np.geomspace(1, 64, count)
    parts = [
        pd.DataFrame({"tokens": x, "model": name, "loss": 2 * x**-0.4 + C + 2e-3 * rng.standard_normal(count)})
        for name, C in limits.items()
    ]
    return pd.concat(parts, ignore_index=True)


def evidence_of(frame: pd.DataFrame, settings: FitSettings = SETTINGS, **more):
    columns = {str(name): Column(meaning=str(name)) for name in frame} | COLUMNS
    points = PointTable(frame=frame, columns=columns, source="t", name="t", **more)
    rows, inside = PointRows.of(points, settings)
    return gather(table=rows, missing=[], settings=inside)


@pytest.fixture(scope="module")
def evidence():
    return evidence_of(frame_of(a=1.0, b=1.01, c=1.3, d=1.02))


def test_a_pair_is_one_row_with_all_that_was_asked_of_it(evidence):
    table = comparison_table(evidence)
    assert [row[0] for row in table.rows] == ["a – b", "a – c", "a – d", "b – c", "b – d", "c – d"]
    assert [header.split(" at ")[0] for header in table.headers] == [
        *("Models", "p, equal C", "p, equal b", "p, equal curve", "Gap", "Leverage", "Crossing (10⁹ tokens)")
    ]
    rows = frame_of(a=1.0, b=1.01, c=1.3, d=1.02)
    pair = {"x": "tokens", "y": "loss", "group": "model", "groups": ("a", "b")}
    p_value = compare("power_offset", rows, **pair, shared=("C",)).p_value
    first = dict(zip(table.headers, table.rows[0], strict=True))
    assert first["p, equal C"].split("\n")[0] == f"{p_value:#.2g}"
    saved = leverage("power_offset", rows, **pair)[0]
    assert f"{saved.multiplier:.2f} ×\n[" in next(text for name, text in first.items() if name.startswith("Leverage"))
    assert "over the 6 pairs" in comparison_note(evidence)


def test_two_groups_have_one_row_without_a_correction():
    evidence = evidence_of(frame_of(a=1.0, c=1.3))
    (row,) = comparison_table(evidence).rows
    assert not any("Holm" in cell for cell in row)
    assert "Holm" not in comparison_note(evidence)


def test_curves_that_lie_apart_are_said_to_cross_nowhere(evidence):
    last = {row[0]: row[-1] for row in comparison_table(evidence).rows}
    assert last["a – c"].split("\n")[0] == "none"
    assert "excluded everywhere" in last["a – c"]


def test_every_point_has_its_row_and_changed_conclusions_stand_first(evidence):
    table = influence_table(evidence)
    assert len(table.rows) == 4 * 6
    assert table.rows == influence_table(evidence).rows
    changed = ["→" in "".join(row) for row in table.rows]
    assert changed == sorted(changed, reverse=True)
    row = next(row for row in table.rows if row[0] == "c, 64·10⁹ tokens")
    rest = frame_of(a=1.0, b=1.01, c=1.3, d=1.02).query("model == 'c'")
    limits = [fit("power_offset", part.tokens, part.loss).parameters["C"] for part in (rest[:-1], rest)]
    assert row[1].startswith(f"{limits[0]:.4f} ({limits[1]:.4f})")
    assert row[2] == row[3] == "–"


def test_of_many_points_the_rest_is_counted():
    table = influence_table(evidence_of(frame_of(a=1.0, b=1.01, count=20)))
    assert len(table.rows) == 25
    assert table.rows[-1][0] == "16 more, in fits.json"


def test_without_a_promise_of_its_own_the_leader_is_set_against_the_next(evidence):
    assert "a" in leading_pair(evidence)
    assert leading_pair(evidence_of(frame_of(a=1.0))) is None


def test_both_ps_are_told_where_they_decide_differently(evidence):
    test = next(item for item in evidence.comparisons if hasattr(item, "shared"))
    assert p_told(replace(test, p_value=0.02, p_adjusted=0.12)) == "p = 0.020, 0.12 by Holm"
    assert p_told(replace(test, p_value=0.2, p_adjusted=1.0)) == "p = 0.20"


def test_a_report_follows_the_rule_on_outliers():
    frame = frame_of(a=1.0, count=9)
    frame.loc[4, "loss"] += 0.3
    kept = evidence_of(frame, rules=Rules(residual_mads=10))
    assert kept.left_out == {"row-5": "more than 10 deviations from a robust first fit"}
    expected = fit("power_offset", frame.tokens.drop(4), frame.loss.drop(4))
    (found,) = kept.fits.values()
    assert found.parameters == pytest.approx(expected.parameters, rel=1e-9)


@pytest.mark.parametrize("loss", ["ls", "huber-log:1e-2"])
def test_groups_of_two_inputs_are_compared_and_their_largest_run_is_held_out(loss):
    rng = np.random.default_rng(0)
    n, d = 10 ** rng.uniform(0, 2, 40), 10 ** rng.uniform(0, 2, 40)
    name = np.repeat(["a", "b"], 20)
    y = (2 * n**-0.5 + 1.5 * d**-0.4 + np.where(name == "a", 1.5, 1.9)) * np.exp(1e-3 * rng.standard_normal(40))
    frame = pd.DataFrame({"N": n, "D": d, "loss": y, "model": name})
    settings = FitSettings(law="chinchilla", x="N", inputs=("N", "D"), y="loss", group="model", loss=loss)
    evidence = evidence_of(frame, settings)
    (row,) = comparison_table(evidence).rows
    assert comparison_table(evidence).headers[1] == "p, equal E"
    asked = {"x": ["N", "D"], "y": "loss", "group": "model", "groups": ("a", "b"), "shared": ("E",), "loss": loss}
    assert evidence.comparisons[0].p_value == pytest.approx(compare("chinchilla", frame, **asked).p_value, rel=1e-3)
    assert row[1] == "< 0.001"
    assert set(evidence.holdouts) == {"a", "b"}
    largest = frame[frame.model == "a"].assign(size=lambda t: t.N * t.D).sort_values("size").iloc[-1]
    assert evidence.holdouts["a"].inputs == pytest.approx((largest.N, largest.D))
    reading = law_reading(evidence)
    assert any("irreducible losses E of a and b differ" in line for line in reading.summary.extrapolates)
    assert any("fitted without its largest scale" in line for line in reading.summary.establishes)
    assert "N = " in reading.tables["Largest run held out"].rows[0][1]


def test_least_deviations_are_not_compared():
    evidence = evidence_of(frame_of(a=1.0, b=1.3), FitSettings(x="tokens", y="loss", group="model", loss="lad"))
    assert evidence.comparisons == ()
    assert "least absolute deviations" in evidence.not_compared
    assert set(evidence.holdouts) == {"a", "b"}
