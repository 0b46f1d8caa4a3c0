import io
import json
import math
import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from rich.console import Console
from typer.testing import CliRunner

from archscale.bench.tool_cases import CHINCHILLA, OFFSET, Case, cases
from archscale.bench.tool_tables import numbers_table, parameters_table, remarks, tools_json
from archscale.bench.tools import Answer, FittingTool, ToolRow, compare_tools, tools
from archscale.cli import app
from archscale.registry import UserError
from tests.analysis.published_data import published, published_folder

TRUTH = {"A": 400.0, "B": 2000.0, "E": 1.7, "alpha": 0.34, "beta": 0.36}


def tool(name: str) -> FittingTool:
    return next(tool for tool in tools() if tool.name == name)


def fake(name="fake", *, run=lambda case: Answer(parameters=TRUTH), laws=(CHINCHILLA,), module="json", install=""):
    return FittingTool(name=name, module=module, distribution=name, laws=laws, run=run, install=install)


def made_up(noise: float = 0.0) -> Case:
    N, D = (values.ravel() for values in np.meshgrid(np.geomspace(1e7, 1e10, 5), np.geomspace(1e9, 1e12, 4)))
    y = TRUTH["E"] + TRUTH["A"] * N ** -TRUTH["alpha"] + TRUTH["B"] * D ** -TRUTH["beta"]
    y = y + noise * np.random.default_rng(3).standard_normal(y.size)
    return Case(name="made_up", title="", law_name=CHINCHILLA, loss="ls", x=np.column_stack([N, D]), y=y)


def published_case(name: str) -> Case:
    published("besiroglu2024", "svg_extracted_data.csv")
    found, absent = cases(published_folder(), [name])
    assert not absent
    return found[0]


def test_the_objective_is_the_published_one():
    """Where the mean of the loss stops the optimiser at once, as the README of besiroglu2024 has it."""
    case = published_case("besiroglu_240")
    stopped = {"A": 406.405, "B": 410.727, "E": 1.69344, "alpha": 0.338989, "beta": 0.284675}
    assert case.objective(stopped) == pytest.approx(1.171783e-3, rel=1e-5)


def test_ours_reaches_the_published_optimum():
    rows, _ = compare_tools([published_case("besiroglu_240")], [tool("archscale")])
    assert rows[0].objective == pytest.approx(1.018274017801e-3, rel=1e-9)
    low, high = rows[0].intervals["E"]
    assert low < rows[0].parameters["E"] < high


@pytest.mark.parametrize(("name", "series"), [("mup_tokens", "tie/muP"), ("sambay_flops", "flops/SambaY muP++")])
def test_curve_fit_is_called_as_the_plot_scripts_call_it(name, series):
    """The same parameters as theirs, the one on its bound included."""
    theirs = published("archscale_sambay", "published_and_refit.csv").set_index("series").loc[series]
    found = tool("curve_fit").run(published_case(name)).parameters
    for parameter, value in found.items():
        assert value == pytest.approx(theirs[f"archscale_curvefit_{parameter}"], rel=1e-5)


def test_every_case_has_points_that_its_law_can_be_judged_on():
    published("olmo_ladder2024", "ladder_step1.csv")
    found, absent = cases(published_folder())
    assert not absent
    sizes = {case.name: case.y.size for case in found}
    assert sizes == {
        "besiroglu_240": 240, "besiroglu_217": 217, "llama_3": 133, "olmo_c4": 16, "sambay_flops": 5,
        "yoco_flops": 5, "mup_tokens": 6, "six_points": 6, "fixed_ratio": 8,
    }  # fmt: skip
    for case in found:
        whole = {parameter.name for parameter in case.law.parameters} == set(case.reference)
        assert not whole or case.predict(case.reference) == pytest.approx(case.y, rel=0.1), case.name


def test_without_published_data_the_made_up_cases_remain(monkeypatch):
    monkeypatch.delenv("ARCHSCALE_PUBLISHED_DATA", raising=False)
    found, absent = cases()
    assert [case.name for case in found] == ["six_points", "fixed_ratio"]
    assert len(absent) == 7
    assert all("--data or ARCHSCALE_PUBLISHED_DATA" in line for line in absent)


def test_unknown_cases_and_folders_are_refused(tmp_path):
    with pytest.raises(UserError, match="unknown case 'six_point'. Did you mean 'six_points'"):
        cases(None, ["six_point"])
    with pytest.raises(UserError, match="no folder"):
        cases(tmp_path / "nowhere")


def test_tools_are_ranked_by_what_they_reached():
    """The one nearest to the points has nothing over the best, and another says by how much it is above."""
    case = made_up(1e-3)
    worse = TRUTH | {"E": 1.75}
    rows, _ = compare_tools([case], [fake("worse", run=lambda case: Answer(parameters=worse)), fake("truth")])
    assert [row.over_best for row in rows] == [pytest.approx(rows[0].objective / rows[1].objective - 1), 0]
    assert rows[0].over_best > 100
    assert rows[1].objective == pytest.approx(((case.y - case.predict(TRUTH)) ** 2).sum())


def test_what_goes_wrong_in_a_tool_is_its_result():
    def broken(case: Case) -> Answer:
        raise ArithmeticError("no minimum\nsomewhere")

    negative = TRUTH | {"E": -10.0}
    case = made_up()
    case = Case(**{**vars(case), "loss": "log-ls"})
    rows, missing = compare_tools(
        [case],
        [
            fake("broken", run=broken),
            fake("negative", run=lambda case: Answer(parameters=negative)),
            fake("other law", laws=(OFFSET,)),
            fake("absent", module="no_such_module_at_all", install="pip install absent"),
        ],
    )
    assert [row.tool for row in rows] == ["broken", "negative"]
    assert rows[0].problem == "ArithmeticError: no minimum"
    assert (rows[1].objective, rows[1].over_best) == (None, None)
    assert "not a positive number" in rows[1].problem
    assert missing == ["no_such_module_at_all is not installed: pip install absent"]


def test_ours_refuses_a_law_that_the_points_cannot_tell_apart():
    found, _ = cases(None, ["fixed_ratio"])
    rows, _ = compare_tools(found, [tool("archscale")])
    assert not rows[0].parameters
    assert rows[0].problem.startswith("D / N is 20 to 20")


def test_parameters_of_simple_scaling_laws_are_put_into_the_units_of_the_points(monkeypatch):
    """It fits inputs over their geometric mean; the amplitudes that come back predict the points."""
    case = made_up()
    seen = {}

    def fit(path, law):
        table = pd.read_csv(path)
        seen.update(table=table, law=law)
        means = {name: float(np.exp(np.log(table[name]).mean())) for name in ("model_size__N", "dataset_size__D")}
        own = TRUTH | {
            "A": TRUTH["A"] * means["model_size__N"] ** -TRUTH["alpha"],
            "B": TRUTH["B"] * means["dataset_size__D"] ** -TRUTH["beta"],
        }
        return SimpleNamespace(
            params=lambda target: own,
            conf_int=lambda target: {name: (0.9 * value, 1.1 * value) for name, value in own.items()},
            observed_domain={name: {"reference": value} for name, value in means.items()},
            warnings=[SimpleNamespace(code="single_run_per_configuration")],
        )

    module = ModuleType("simple_scaling_laws")
    module.fit = fit
    monkeypatch.setitem(sys.modules, "simple_scaling_laws", module)
    found = tool("simple-scaling-laws").run(case)
    assert case.predict(found.parameters) == pytest.approx(case.y, rel=1e-12)
    assert set(found.intervals) == {"E", "alpha", "beta"}
    assert found.says == ("single_run_per_configuration",)
    assert seen["law"] == "separable-power"
    assert seen["table"].training_run_id.is_unique
    assert (seen["table"].test_loss__loss == case.y).all()


def test_chinchilla_gets_its_own_loss_or_the_loss_of_the_case(monkeypatch):
    made = []

    class Chinchilla:
        params = TRUTH

        def __init__(self, folder, **options):
            made.append(options | {"table": pd.read_csv(f"{folder}/df.csv")})

        def fit(self):
            pass

    module, losses = ModuleType("chinchilla"), ModuleType("chinchilla._metrics")
    module.Chinchilla = Chinchilla
    losses.mse = lambda y_true, y_pred: (y_true - y_pred) ** 2
    losses.log_huber = lambda y_true, y_pred, delta: delta * np.abs(np.log(y_true / y_pred))
    monkeypatch.setitem(sys.modules, "chinchilla", module)
    monkeypatch.setitem(sys.modules, "chinchilla._metrics", losses)
    case = made_up()
    robust = Case(**{**vars(case), "loss": "huber-log:1e-3"})
    tool("chinchilla").run(case)
    tool("chinchilla, our loss").run(case)
    tool("chinchilla, × 1e6").run(robust)
    assert "loss_fn" not in made[0]
    y_true, y_pred = np.array([2.0]), np.array([1.5])
    assert made[1]["loss_fn"](y_true, y_pred) == pytest.approx(0.25)
    assert made[2]["loss_fn"](y_true, y_pred) == pytest.approx(1e6 * 1e-3 * math.log(2 / 1.5))
    assert {name: len(values) for name, values in made[0]["param_grid"].items()} == dict.fromkeys(
        ("E", "a", "b", "alpha", "beta"), 3
    )
    table = made[0]["table"]
    assert (table[["N", "D"]].to_numpy() == case.x).all()
    assert (table.loss == case.y).all()
    assert table.C.to_numpy() == pytest.approx(6 * case.x.prod(axis=1))


def test_tables_fit_80_columns_and_json_has_no_infinity():
    case = Case(**{**vars(made_up()), "title": "a title of some length, as the publications have it, and more"})
    row = ToolRow(
        case="made_up", tool="chinchilla, our loss", version="0.2.0",
        parameters=dict.fromkeys(TRUTH, -1.23456789e-5), intervals={"E": (-math.inf, 12.345678)},
        objective=1.23456789e-13, over_best=123.4, seconds=234.5, core_seconds=2345.6, says=("weak",),
    )  # fmt: skip
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(numbers_table(case, [row]))
    console.print(parameters_table(case, [row]))
    text = console.export_text()
    assert max(map(len, text.splitlines())) <= 80
    assert "…" not in text
    assert "× 124" in text
    assert remarks([row]) == ["chinchilla, our loss: weak"]
    assert json.loads(json.dumps(tools_json([row], []), allow_nan=False))["rows"][0]["intervals"]["E"][0] is None


def test_the_command_runs_what_is_installed_and_names_the_rest(monkeypatch):
    monkeypatch.delenv("ARCHSCALE_PUBLISHED_DATA", raising=False)
    arguments = ["bench", "tools", "six_points"]
    found = json.loads(CliRunner().invoke(app, [*arguments, "--json"], catch_exceptions=False).output)
    assert {row["case"] for row in found["rows"]} == {"six_points"}
    ours, scipy = found["rows"][:2]
    assert (ours["tool"], scipy["tool"]) == ("archscale", "curve_fit")
    assert ours["objective"] == pytest.approx(scipy["objective"], rel=1e-6)
    low, high = ours["intervals"]["C"]
    assert low < 1.2 < high
    text = CliRunner().invoke(app, arguments, catch_exceptions=False).output
    assert "six_points: made up" in text
    assert "reference" in text
