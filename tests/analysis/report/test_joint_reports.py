import re

import numpy as np
import pandas as pd
import pytest

from analysis.columns import Column
from analysis.fit import fit
from analysis.points import PointTable
from analysis.report import series
from analysis.report.evidence import gather
from analysis.report.law_report import law_reading
from analysis.report.page import html_document
from analysis.report.point_rows import PointRows
from analysis.report.printing import write_figures
from analysis.report.write import json_document
from archscale.registry import UserError
from archscale.spec import FitSettings
from tests.analysis.fake_runs import strict_json
from tests.analysis.page_reader import Page

SETTINGS = FitSettings(law="chinchilla", x="N", inputs=("N", "D"), y="loss", group="", loss="huber-log:1e-3")


@pytest.fixture(scope="module")
def frame():
    n, d = (values.ravel() for values in np.meshgrid(np.geomspace(1e7, 1e10, 5), np.geomspace(1e9, 1e12, 5)))
    noise = np.random.default_rng(1).normal(0, 2e-3, n.size)
    return pd.DataFrame({"N": n, "D": d, "loss": (400 * n**-0.34 + 2000 * d**-0.37 + 1.8) * np.exp(noise)})


@pytest.fixture(scope="module")
def evidence(frame):
    columns = {"N": Column(meaning="Parameters"), "D": Column(meaning="Tokens", unit="tokens")}
    points = PointTable(
        frame=frame, columns=columns | {"loss": Column(meaning="Loss", unit="nats/token")}, source="t", name="t"
    )
    rows, settings = PointRows.of(points, SETTINGS)
    return gather(table=rows, missing=[], settings=settings)


@pytest.fixture(scope="module")
def reading(evidence):
    return law_reading(evidence)


def test_the_fit_is_that_of_the_library_under_the_loss_that_was_asked(evidence, frame):
    (found,) = evidence.fits.values()
    direct = fit("chinchilla", frame[["N", "D"]].to_numpy(), frame["loss"], loss="huber-log:1e-3")
    assert found.parameters == pytest.approx(direct.parameters, rel=1e-9)
    assert found.loss == "huber-log:0.001"


def test_residuals_are_measured_minus_the_equation(evidence, frame):
    (part,) = series.residuals(evidence).values()
    (found,) = evidence.fits.values()
    p = found.parameters
    expected = frame["loss"] - (p["A"] * frame["N"] ** -p["alpha"] + p["B"] * frame["D"] ** -p["beta"] + p["E"])
    np.testing.assert_allclose(part["residual"], expected, atol=1e-9)


def test_the_headline_gives_the_root_mean_square_of_the_residuals(reading, evidence):
    (part,) = series.residuals(evidence).values()
    size = float(np.sqrt((part["residual"] ** 2).mean()))
    assert f"describes 25 points with a typical error of {size:.4f} nats/token" in reading.summary.headline
    (limit,) = reading.summary.extrapolates
    (found,) = evidence.fits.values()
    shown = re.match(r"The irreducible loss of t, E = ([\d.]+) with 95 % interval", limit)
    assert float(shown[1]) == pytest.approx(found.parameters["E"], abs=0.005)


def test_there_is_a_figure_for_every_input_and_none_along_one_axis(reading, tmp_path):
    assert set(reading.interactive) == {"against", "residuals-1", "residuals-2"}
    assert set(write_figures(reading.printed, tmp_path)) == {"against", "residuals-1", "residuals-2"}
    assert set(reading.captions) >= set(reading.interactive)
    titles = [reading.interactive[f"residuals-{k}"]["layout"]["xaxis"]["title"]["text"] for k in (1, 2)]
    assert titles == ["Parameters", "Tokens (tokens)"]


def test_page_and_numbers_name_both_inputs(reading):
    header = {"name": "t", "title": "t", "question": ""}
    page = Page(html_document(header, reading))
    assert "Measured against fitted" in [element.text for element in page.all("h2")]
    assert "huber-log:1e-3" in "".join(element.text for element in page.all("p"))
    values = strict_json(json_document(header, reading))
    assert values["settings"]["inputs"] == ["N", "D"]
    assert {"N", "D", "loss"} <= set(values["points"][0])


def test_a_law_of_two_inputs_asks_for_two_columns(evidence):
    with pytest.raises(UserError, match=r"has the inputs N, D, and 1 column is named: N"):
        gather(table=evidence.table, missing=[], settings=FitSettings(law="chinchilla", x="N", y="loss", group="N"))
