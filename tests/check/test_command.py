import json

import pytest
from typer.testing import CliRunner

from archscale.check import coordinates
from archscale.check.coordinates import Check, CheckReport, CheckSettings
from archscale.check.slopes import Part, Quantity
from archscale.check.tables import check_json, parameter_table
from archscale.cli import app
from archscale.registry import UserError

QUICK = ["--arch", "transformer_pp", "--axis", "width", "--widths", "64,128", "--seeds", "1", "--steps", "2"]


def run(*arguments: str, status: int = 0) -> str:
    result = CliRunner().invoke(app, ["check", "coordinates", *arguments])
    if isinstance(result.exception, UserError):
        raise result.exception
    assert result.exit_code == status, result.output
    return result.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--arch", "sambya"], "^unknown arch 'sambya'. Did you mean 'samba'.*archscale list arch"),
        (["--parametrization", "mup,ntk"], "^unknown parametrization 'ntk'.*mup_pp"),
        (["--axis", "heads"], "^unknown axis 'heads'. Choices: depth, width"),
        (["--widths", "64"], "^--widths 64: a slope needs at least two widths, e.g. 64,128,256$"),
        (["--widths", "64,64"], "^--widths 64,64: a slope needs at least two"),
        (["--widths", "64,100"], "^--widths 100: .* multiples of 64, use e.g. 64,128,256"),
        (["--widths", "0,64"], "^--widths 0: "),
        (["--widths", "wide"], "^--widths 'wide': write whole numbers with commas"),
        (["--depths", "-8,16"], "^--depths -8: depths are divisible by 4 and at least 8"),
        (["--depths", "8"], "^--depths 8: a slope needs at least two depths"),
        (["--steps", "0"], "^--steps 0: use at least 1"),
        (["--seeds", "-1"], "^--seeds -1: use at least 1"),
        (["--learning-rate", "inf"], "^--learning-rate inf: it must be a positive number"),
        (["--tolerance", "0"], "^--tolerance 0.0: it must be a positive number"),
        (["--arch", "sambay,"], "^--arch 'sambay,': write names with commas"),
    ],
)
def test_what_cannot_be_checked_is_refused_in_one_line(arguments, message):
    with pytest.raises(UserError, match=message) as error:
        run(*arguments)
    assert "\n" not in str(error.value)


def test_one_depth_is_enough_where_only_widths_are_compared():
    assert CheckSettings(axes=("width",), depths=(12,)).shapes("width") == [(64, 12), (128, 12), (256, 12)]


def test_the_command_says_flat_and_writes_its_figures(tmp_path):
    out = tmp_path / "check"
    text = run(*QUICK, "--out", str(out))
    (row,) = [line.split() for line in text.splitlines() if line.startswith("transformer_pp")]
    assert row[:3] == ["transformer_pp", "mup_pp", "width"]
    assert row[-1] == "flat"
    names = ["coordinates.json", *(f"coordinates-{n}.{k}" for n in ("width", "parameters-mup_pp") for k in
                                   ("png", "svg"))]  # fmt: skip
    assert all((out / name).stat().st_size > 1000 for name in names)
    assert json.loads((out / "coordinates.json").read_text())["flat"] is True


def test_where_no_folder_can_be_is_refused_before_anything_is_trained(monkeypatch, tmp_path):
    monkeypatch.setattr(coordinates, "probe", lambda *_, **__: pytest.fail("a model was trained"))
    (tmp_path / "file").write_text("")
    for out in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(UserError, match=f"^--out {out}: no folder can be made there") as error:
            run(*QUICK, "--out", str(out))
        assert "\n" not in str(error.value)


def test_not_flat_is_exit_status_1_and_json_has_every_number():
    values = json.loads(run(*QUICK, "--parametrization", "sp", "--json", status=1))
    (check,) = values["checks"]
    assert not check["flat"]
    assert check["ladder"] == [64, 128]
    names = {(quantity["name"], quantity["measure"]) for quantity in check["quantities"]}
    assert names >= {("attention", "size"), ("mlp", "change"), ("residual stream", "change"), ("logits", "change")}
    assert {part["name"] for part in check["parameters"]} >= {"head", "embedding", "mlp.down.weight"}
    assert values["settings"]["steps"] == 2


def report(slope: float, share: float) -> CheckReport:
    quantity = Quantity(name="residual stream", measure="size", values=(1.0, slope), slope=slope)
    part = Part(name="mamba.skip_D", values=(1.0, 1.0), slope=slope, own_slope=0.0, share=share)
    check = Check(
        arch="mambay",
        parametrization="mup_pp",
        axis="width",
        ladder=(64, 128),
        quantities=(quantity,),
        parts=(part,),
        tolerance=0.25,
    )
    return CheckReport(settings=CheckSettings(), checks=(check,))


def test_json_of_a_model_that_diverged_is_json():
    values = check_json(report(float("inf"), share=1.0))
    assert json.loads(json.dumps(values, allow_nan=False))["checks"][0]["quantities"][0]["slope"] is None
    assert not values["flat"]


@pytest.mark.parametrize(("slope", "share", "shown"), [(0.2, 0.5, False), (0.3, 0.5, True), (0.3, 0.001, False)])
def test_parameters_are_shown_where_they_are_not_flat_and_weigh_something(slope, share, shown):
    assert (parameter_table(report(slope, share)) is not None) == shown
