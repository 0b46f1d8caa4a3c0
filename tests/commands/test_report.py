import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from archscale.cli import app
from archscale.registry import UserError
from tests.analysis.published_data import published

ROWS = [("a", x, 3 * x**-0.5 + 1.0 + (-1) ** k * 1e-3) for k, x in enumerate((1.0, 2.0, 4.0, 8.0, 16.0))]


def report(*arguments: str) -> str:
    result = CliRunner().invoke(app, ["report", *arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


@pytest.fixture
def table(tmp_path) -> Path:
    path = tmp_path / "points.csv"
    path.write_text("model,x,loss\n" + "".join(f"{name},{x},{loss}\n" for name, x, loss in ROWS))
    return path


@pytest.fixture
def root(tmp_path) -> str:
    return str(tmp_path / "reports")


def test_a_csv_is_reported_with_the_columns_of_the_command(table, root):
    said = report(str(table), "--x", "x", "--y", "loss", "--group", "model", "--law", "power_offset", "--root", root)
    folder = Path(root) / "studies" / "points"
    assert f"report: {(folder / 'report.html').resolve()}" in said
    values = json.loads((folder / "fits.json").read_text())
    assert values["settings"]["law"] == "power_offset"
    assert values["fits"]["a"]["parameters"]["b"]["low"] < 0.5 < values["fits"]["a"]["parameters"]["b"]["high"]
    for name in ("loss", "residuals", "profiles"):
        for ending in ("png", "svg", "pdf"):
            assert (folder / "figures" / f"{name}.{ending}").stat().st_size > 1000


def test_a_description_says_what_the_command_need_not(table, root):
    described = table.with_name("mine.yaml")
    described.write_text(
        "points: points.csv\ntitle: My points\ncolumns: {x: {meaning: Width, unit: cm}}\n"
        "fit: {law: power_offset, x: x, y: loss, group: model}\n"
    )
    report(str(described), "--root", root)
    text = (Path(root) / "studies" / "mine" / "report.md").read_text()
    assert text.startswith("# My points")
    assert "16 cm" in text


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["TABLE"], "no column for --x; there are model, x, loss"),
        (["TABLE", "--x", "X", "--y", "loss"], "unknown column 'X'"),
        (["TABLE", "--x", "x", "--y", "model"], "holds 'a', which is no number"),
        (["TABLE", "--x", "x", "--y", "loss", "--law", "power_ofset"], "unknown law 'power_ofset'. Did you mean"),
        (["TABLE", "arch=sambay", "--x", "x"], "arch=sambay: overrides are for studies"),
        (["demo", "--x", "tokens"], "--x is for tables"),
        (["sambay_flop"], "unknown study or table 'sambay_flop'. Did you mean 'sambay_flops'"),
        (["nothing.csv", "--x", "x", "--y", "y"], "nothing.csv"),
        (["TABLE", "--x", "x", "--y", "loss", "--level", "1.5"], "level"),
    ],
)
def test_a_mistake_is_one_line(table, root, arguments, said):
    given = [str(table) if text == "TABLE" else text for text in arguments]
    with pytest.raises(UserError) as error:
        CliRunner().invoke(app, ["report", *given, "--root", root], catch_exceptions=False)
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_without_the_published_data_the_next_step_is_named(root, monkeypatch, tmp_path):
    monkeypatch.delenv("ARCHSCALE_PUBLISHED_DATA", raising=False)
    with pytest.raises(UserError, match="archscale_sambay/points.csv.*ARCHSCALE_PUBLISHED_DATA"):
        CliRunner().invoke(app, ["report", "sambay_flops", "--root", root], catch_exceptions=False)


@pytest.mark.slow
def test_a_folder_of_published_points_gives_every_report_that_describes_them(root, monkeypatch, tmp_path):
    points = published("archscale_sambay", "points.csv")
    folder = tmp_path / "archscale_sambay"
    folder.mkdir()
    points.to_csv(folder / "points.csv", index=False)
    assert report(str(folder), "--root", root).count("report: ") == 2
    assert {path.name for path in (Path(root) / "studies").iterdir()} == {"sambay_data", "sambay_flops"}
