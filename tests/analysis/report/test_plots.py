import json
import math
import re
import struct
from itertools import pairwise

import numpy as np
import pytest

from analysis.report import interactive, series
from analysis.report.evidence import gather
from analysis.report.plots import law_figures
from analysis.report.printing import write_figures
from analysis.report.style import styles
from analysis.table import RunTable
from archscale.runlog.metrics import MetricsFile
from archscale.spec import FitSettings
from tests.analysis import fake_runs
from tests.analysis.fake_runs import spec_of, write_run


@pytest.fixture(scope="module")
def evidence(tmp_path_factory):
    directories = fake_runs.write_troubled_study(tmp_path_factory.mktemp("runs"))
    return gather(table=RunTable.from_directories(directories), missing=[], settings=FitSettings())


@pytest.fixture(scope="module")
def written(evidence, tmp_path_factory):
    return write_figures(law_figures(evidence), tmp_path_factory.mktemp("figures"))


def test_every_figure_is_there_in_three_formats(written):
    assert set(written) >= {"loss", "residuals", "profiles", "training", "throughput"}
    starts = {".png": b"\x89PNG", ".pdf": b"%PDF", ".svg": b"<?xml"}
    for paths in written.values():
        assert [path.suffix for path in paths] == [".png", ".svg", ".pdf"]
        for path in paths:
            assert path.read_bytes().startswith(starts[path.suffix])
            assert path.stat().st_size > 5000


def test_figures_have_the_width_of_a_column_or_of_a_page(written):
    wide = {"loss": 7.0, "training": 7.0, "residuals": 3.4, "profiles": 3.4, "throughput": 3.4}
    for name, paths in written.items():
        (width_pixels,) = struct.unpack(">I", paths[0].read_bytes()[16:20])
        allowed = [wide[name]] if name in wide else [3.4, 7.0]
        assert any(width_pixels / 200 == pytest.approx(inches, abs=0.01) for inches in allowed)


def test_text_in_a_pdf_stays_text(written):
    for paths in written.values():
        content = paths[2].read_bytes()
        assert b"/FontFile2" in content
        assert b"/Type3" not in content


def test_the_same_runs_give_the_same_bytes(evidence, written, tmp_path):
    again = write_figures(law_figures(evidence), tmp_path)
    for name, paths in written.items():
        for one, two in zip(paths, again[name], strict=True):
            assert one.read_bytes() == two.read_bytes(), one.name


def test_a_group_has_one_colour_and_one_marker_in_every_interactive_figure(evidence):
    style = styles(evidence.labels)
    group_colors = [look.color for look in style.values()]
    seen: dict[str, set[tuple[str, str]]] = {}
    for figure in interactive.figures(evidence).values():
        for trace in figure["data"]:
            # Grey marks, and points with a colour each, stand for no group.
            if (
                "marker" in trace
                and trace["marker"]["color"] in group_colors
                and isinstance(trace["marker"]["symbol"], str)
            ):
                pair = (trace["marker"]["color"], trace["marker"]["symbol"])
                seen.setdefault(trace["name"], set()).add(pair)
    assert seen == {label: {(style[label].color, style[label].symbol)} for label in ("SambaY", "Transformer++")}


def test_forty_groups_are_told_apart_by_colour_or_marker():
    looks = styles(f"group {k}" for k in range(40)).values()
    assert len({(look.color, look.marker) for look in looks}) == 40


def test_bands_are_the_fits_inside_the_axis_and_cut_at_it(evidence):
    data = series.loss_series(evidence)
    low_limit, high_limit = data.y_limits
    for label, curve in data.curves.items():
        low, high = evidence.fits[label].band(curve.x)
        np.testing.assert_allclose(curve.low, np.clip(low, low_limit, high_limit), rtol=1e-5)
        np.testing.assert_allclose(curve.high, np.clip(high, low_limit, high_limit), rtol=1e-5)
        assert ((low < low_limit) | (high > high_limit)).any() == (label in data.cut)
    assert data.cut


def test_points_curves_and_entropy_lie_inside_the_axes(evidence):
    data = series.loss_series(evidence)
    assert data.entropy == fake_runs.ENTROPY
    for part in data.points.values():
        assert part["validation_loss"].between(*data.y_limits).all()
        assert part["compute"].between(*data.x_limits).all()
    assert all(((c.y > data.y_limits[0]) & (c.y < data.y_limits[1])).all() for c in data.curves.values())
    assert data.x_end == evidence.points["compute"].max() < data.x_limits[1]


def test_a_distant_entropy_is_left_off_the_axis(tmp_path):
    directories = [write_run(tmp_path, spec_of("sambay", depth), loss=loss) for depth, loss in ((8, 1.2), (12, 1.1))]
    evidence = gather(table=RunTable.from_directories(directories), missing=[], settings=FitSettings())
    data = series.loss_series(evidence)
    assert data.entropy is None
    assert data.y_limits[1] < 1.3


def test_residuals_are_measured_minus_the_equation(evidence):
    for label, part in series.residuals(evidence).items():
        p = evidence.fits[label].parameters
        expected = part["validation_loss"] - (p["A"] * part["compute"] ** -p["b"] + p["C"])
        np.testing.assert_allclose(part["residual"], expected, atol=1e-9)


def test_a_profile_lies_below_its_threshold_exactly_inside_the_interval(evidence):
    for label, profile in series.profiles(evidence).items():
        ends = evidence.fits[label].intervals["C"]
        inside = (profile.values >= ends.low) & (profile.values <= ends.high)
        np.testing.assert_array_equal(profile.rise <= profile.threshold * (1 + 1e-9), inside)
        assert 0 < inside.sum() < len(inside)
        assert profile.rise.min() > -1e-6


def test_curves_of_a_long_run_are_thinned_without_losing_mean_or_end(tmp_path):
    directory = write_run(tmp_path, spec_of("sambay", 8), loss=2.0)
    log = MetricsFile(directory.metrics_path)
    for step in range(81, 4081):
        log.append({"train_step": step, "tokens": step * 2048, "train_loss": 2.0 + (-1) ** step})
    log.append({"train_step": 4081, "tokens": 4081 * 2048, "train_loss": 2.0, "validation_loss": 1.75})
    log.close()
    evidence = gather(table=RunTable.from_directories([directory]), missing=[], settings=FitSettings())
    (curve,) = series.training_curves(evidence).values()
    assert 200 <= len(curve) <= 300
    assert curve["validation_loss"].dropna().iloc[-1] == 1.75
    assert curve["tokens"].iloc[-1] == 4081 * 2048
    assert (curve["train_loss"].iloc[10:] - 2.0).abs().max() < 0.1


def test_interactive_points_name_their_run_and_are_strict_json(evidence):
    figures = interactive.figures(evidence)
    json.dumps(figures, allow_nan=False)
    anchors = {f"run-{run_id}" for run_id in evidence.points["run_id"]}
    markers = [trace for trace in figures["loss"]["data"] if trace["mode"] == "markers"]
    assert {anchor for trace in markers for anchor in trace["customdata"]} == anchors
    row = evidence.points.iloc[0]
    (text,) = [t for trace in markers for t in trace["text"] if row["run_id"] in t]
    for part in (f"loss {row['validation_loss']:.4f}", fake_runs.COMMIT[:10], "parameters", "tokens"):
        assert part in text


def test_what_a_user_wrote_is_text_to_plotly_and_not_mathematics_to_matplotlib(tmp_path):
    title = "<a href='x'>$\\frac{$</a>"
    directories = [write_run(tmp_path / "runs", spec_of("sambay", depth, title=title)) for depth in (8, 12, 16)]
    evidence = gather(table=RunTable.from_directories(directories), missing=[], settings=FitSettings())
    # The page's script writes the cells of a figure's table as text nodes; plotly sees data and layout.
    drawn = [{key: figure[key] for key in ("data", "layout")} for figure in interactive.figures(evidence).values()]
    assert "<a" not in re.sub(r"</?b>|<br>|<extra></extra>", "", json.dumps(drawn))
    write_figures(law_figures(evidence), tmp_path / "figures")


@pytest.mark.parametrize(("low", "high"), [(1.55, 1.78), (1.7, 3.1), (4e4, 3e6), (1e9, 4e20), (900.0, 5000.0)])
def test_ticks_are_few_and_inside_and_their_texts_are_exact(low, high):
    ticks = series.log_ticks(low, high)
    assert 2 <= len(ticks) <= 7
    assert all(low <= tick <= high for tick in ticks)
    assert all(one < two for one, two in pairwise(ticks))
    assert all(math.isclose(float(series.tick_text(tick, ticks)), tick) for tick in ticks)


def parabola(center, half, threshold=10.0):
    values = center + 1.5 * half * np.linspace(-1, 1, 61)
    rise = threshold * ((values - center) / half) ** 2
    return series.ProfileSeries(parameter="C", values=values, rise=rise, threshold=threshold)


def test_the_ends_of_a_profile_are_where_it_crosses_the_threshold():
    assert parabola(0.6, 0.1).ends == pytest.approx((0.5, 0.7), abs=1e-3)
    flat = series.ProfileSeries(parameter="C", values=np.arange(3.0), rise=np.array([0, 1, 99.0]), threshold=10)
    assert flat.ends is None


def test_a_curve_far_wider_than_the_others_does_not_squeeze_them():
    usual = {"a": parabola(0.6, 0.1), "b": parabola(0.7, 0.12), "c": parabola(0.5, 0.08)}
    alone, squeezed = series.profile_limits(usual), series.profile_limits(usual | {"wide": parabola(1.0, 3.0)})
    assert alone.outside == ()
    assert alone.limits == pytest.approx((0.38, 0.88), abs=1e-3)
    assert squeezed.limits == pytest.approx(alone.limits)
    assert squeezed.outside == ("wide",)
