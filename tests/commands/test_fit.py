import json

import numpy as np
import pandas as pd
import pytest

from analysis.fit import fit
from tests.analysis.fake_runs import strict_json, write_troubled_study
from tests.analysis.published_data import published, published_folder
from tests.support.terminal import lines_at_80

X = np.geomspace(1e18, 1e20, 6)
SCATTER = 0.003 * np.array([1, -1, 0.5, -0.5, 1, -1])
ASKED = ("--x", "compute", "--y", "loss")


def curve(amplitude: float = 60.0, exponent: float = 0.09, offset: float = 1.4) -> np.ndarray:
    return amplitude * X**-exponent + offset + SCATTER


@pytest.fixture
def table(tmp_path):
    """Two groups at six scales."""
    path = tmp_path / "points.csv"
    frames = [pd.DataFrame({"arch": name, "compute": X, "loss": curve(A)}) for name, A in (("a", 60.0), ("b", 57.0))]
    pd.concat(frames).to_csv(path, index=False)
    return path


@pytest.fixture
def archscale(terminal):
    return terminal


@pytest.fixture
def refused(archscale):
    """The one line of stderr, with nothing on stdout and exit status 2."""

    def run(*arguments: object) -> str:
        code, out, err = archscale("fit", *arguments)
        assert (code, out) == (2, "")
        assert len(err.splitlines()) == 1
        assert err.startswith("error: ")
        return err

    return run


@pytest.fixture
def fitted(archscale):
    def run(*arguments: object) -> dict:
        code, out, err = archscale("fit", *arguments, "--json")
        assert (code, err) == (0, "")
        return strict_json(out)

    return run


def test_the_json_has_every_key_of_the_contract_and_the_numbers_of_the_library(fitted, table):
    found = fitted(table, *ASKED, "--group", "arch", "--law", "power_offset")
    assert [entry["group"] for entry in found["fits"]] == ["a", "b"]
    first = found["fits"][0]
    expected = fit("power_offset", X, curve())
    assert first["law"] == "power_offset"
    assert first["params"] == pytest.approx(expected.parameters, rel=1e-12)
    assert list(first["params"]) == ["A", "b", "C"]
    for name, (low, high) in first["intervals"].items():
        assert (low, high) == (expected.intervals[name].low, expected.intervals[name].high)
    assert first["verdicts"] == expected.verdicts
    assert first["objective"] == pytest.approx(expected.sum_of_squares, rel=1e-12)
    assert first["n"] == 6
    assert 0 < first["starts"]["at_optimum"] <= first["starts"]["count"]
    (held,) = first["holdout"]["results"]
    assert held["x"] == [X[-1]]
    assert held["actual"] == curve()[-1]
    assert held["error"] == pytest.approx(held["predicted"] - held["actual"], abs=1e-15)


def test_two_groups_are_compared_by_each_shareable_parameter_and_by_all(fitted, table):
    comparisons = fitted(table, *ASKED, "--group", "arch")["comparisons"]
    assert [entry["groups"] for entry in comparisons] == [["a", "b"]] * 3
    assert [entry["shared"] for entry in comparisons] == [["C"], ["b"], ["A", "b", "C"]]
    for entry in comparisons:
        assert 0 <= entry["p_value"] <= 1
        assert isinstance(entry["aicc"], float)


def test_without_a_group_there_is_one_fit_and_nothing_to_compare(fitted, table):
    found = fitted(table, *ASKED, "--where", "arch=b")
    assert [entry["group"] for entry in found["fits"]] == [None]
    assert found["comparisons"] == []
    assert fitted(table, *ASKED, "--where", "arch=b", "--holdout", "none")["fits"][0]["holdout"] is None


def test_every_scale_can_be_held_out_in_turn_and_the_hits_are_counted(fitted, table):
    (first, _) = fitted(table, *ASKED, "--group", "arch", "--holdout", "each")["fits"]
    held = first["holdout"]
    assert [entry["x"] for entry in held["results"]] == [[x] for x in X]
    assert held["hits"] == sum(entry["inside"] for entry in held["results"])
    rest = fit("power_offset", X[1:], curve()[1:])
    assert held["results"][0]["predicted"] == pytest.approx(rest.predict(X[0])[0], rel=1e-9)


def test_without_degrees_of_freedom_the_json_stays_strict_and_p_is_null(fitted, tmp_path):
    few = tmp_path / "few.csv"
    rows = [{"arch": name, "compute": x, "loss": y} for name in "ab" for x, y in zip(X[:3], curve()[:3], strict=True)]
    pd.DataFrame(rows).to_csv(few, index=False)
    found = fitted(few, *ASKED, "--group", "arch")
    assert found["fits"][0]["intervals"]["C"] == [0.0, None]
    assert set(found["fits"][0]["verdicts"].values()) == {"not identified"}
    assert {entry["p_value"] for entry in found["comparisons"]} == {None}


def test_parameters_are_in_the_units_of_the_columns(fitted, table, tmp_path):
    """x in 1e18 FLOPs: A is smaller by 1e18^b, all else is as it was."""
    scaled = tmp_path / "scaled.csv"
    frame = pd.read_csv(table)
    frame.assign(compute=frame["compute"] / 1e18).to_csv(scaled, index=False)
    plain = fitted(table, *ASKED, "--where", "arch=a")["fits"][0]["params"]
    other = fitted(scaled, *ASKED, "--where", "arch=a")["fits"][0]["params"]
    assert other["b"] == pytest.approx(plain["b"], rel=1e-6)
    assert other["C"] == pytest.approx(plain["C"], rel=1e-6)
    assert other["A"] == pytest.approx(plain["A"] * 1e18 ** -plain["b"], rel=1e-6)


def test_a_prediction_has_its_band_and_how_far_it_reaches(fitted, table):
    entry, far = fitted(table, *ASKED, "--where", "arch=a", "--predict", "1e19,4e20")["fits"][0]["predictions"]
    expected = fit("power_offset", X, curve())
    assert entry["value"] == pytest.approx(expected.predict(1e19)[0], rel=1e-12)
    low, high = expected.band(4e20)
    assert far["interval"] == pytest.approx([low[0], high[0]], rel=1e-12)
    assert (entry["beyond"], far["beyond"]) == ([pytest.approx(0.1)], [pytest.approx(4.0)])


def test_a_derived_column_is_the_same_as_one_in_the_file(fitted, table, tmp_path):
    frame = pd.read_csv(table)
    frame.assign(t=frame["compute"] / (6 * 2.0**3)).to_csv(tmp_path / "with.csv", index=False)
    inside = fitted(tmp_path / "with.csv", "--x", "t", "--y", "loss", "--group", "arch")
    derived = fitted(table, "--derive", "t=compute / (6 * 2**3)", "--x", "t", "--y", "loss", "--group", "arch")
    assert derived["fits"] == inside["fits"]


def test_dropped_rows_are_named_and_the_refit_without_the_rule_is_there(fitted, table):
    found = fitted(table, *ASKED, "--where", "arch=a", "--drop-highest", 1)
    assert found["left_out"] == [{"row": 1, "reason": "drop_highest: 1"}]
    assert found["fits"][0]["n"] == 5
    moved = {entry["parameter"]: entry for entry in found["rules"]}
    plain = fitted(table, *ASKED, "--where", "arch=a")["fits"][0]["params"]
    assert {name: entry["without_rule"] for name, entry in moved.items()} == plain
    assert {name: entry["with_rule"] for name, entry in moved.items()} == found["fits"][0]["params"]
    assert {entry["rows"] for entry in found["rules"]} == {1}


def test_a_folder_of_runs_is_a_table_and_its_unfinished_runs_are_named(fitted, tmp_path):
    write_troubled_study(tmp_path)
    found = fitted(tmp_path, "--x", "compute", "--y", "validation_loss", "--group", "architecture")
    assert [(entry["group"], entry["n"]) for entry in found["fits"]] == [("sambay", 4), ("transformer_pp", 4)]
    assert sorted(entry["reason"] for entry in found["left_out"]) == ["diverged", "failed", "pending"]
    assert found["columns"]["compute"] == {"meaning": "Training compute", "unit": "FLOPs"}


def test_the_published_comparison_of_sambay_and_samba_yoco(fitted):
    published("archscale_sambay", "points.csv")
    pair = ("flops/SambaY muP++", "flops/Samba+YOCO muP++")
    only = [text for name in pair for text in ("--where", f"series={name}")]
    found = fitted("sambay_flops", *only, "--data", published_folder())
    (equal_c,) = (entry for entry in found["comparisons"] if entry["shared"] == ["C"])
    assert round(equal_c["p_value"], 2) == 0.64
    offsets = {entry["group"]: entry["params"]["C"] for entry in found["fits"]}
    assert [round(offsets[name], 3) for name in pair] == [0.585, 0.607]


def test_the_tables_fit_80_columns_and_say_what_the_json_says(table, fitted):
    lines = lines_at_80("fit", str(table), *ASKED, "--group", "arch", "--predict", "1e22", "--drop-highest", "1")
    text = "\n".join(lines)
    for word in ("A·x⁻ᵇ + C", "verdict", "objective", "starts at the optimum", "predicted", "p C", "drop_highest"):
        assert word in text
    assert "These runs cannot tell whether the irreducible losses C of a and b differ" in " ".join(text.split())
    assert "× the largest" in text


def test_long_names_of_groups_fit_80_columns_and_are_not_cut(table, tmp_path):
    names = {"a": "an architecture whose name takes as many words as this one, up to omega", "b": "b" * 60}
    pd.read_csv(table).replace({"arch": names}).to_csv(tmp_path / "long.csv", index=False)
    lines = lines_at_80("fit", str(tmp_path / "long.csv"), *ASKED, "--group", "arch", "--predict", "1e21")
    tables = "\n".join(lines).split("These runs")[0]
    assert tables.count("omega") == 5


def test_help_shows_examples(archscale):
    code, out, _ = archscale("fit", "--help")
    assert code == 0
    assert out.count("archscale fit ") >= 6


def rows(**columns: object) -> pd.DataFrame:
    return pd.DataFrame({"compute": X, "loss": curve()} | columns)


BAD_POINTS = {
    "too few points": (rows()[:2], ["at least 3 distinct compute are needed", "2 points"]),
    "a loss of zero": (rows(loss=[0.0, *curve()[1:]]), ["loss is zero or negative in 1 of 6 rows"]),
    "a negative x": (rows(compute=[-1.0, *X[1:]]), ["compute is zero or negative in 1 of 6 rows"]),
    "constant x": (rows(compute=1e18), ["compute = 1e+18 in all 6 rows"]),
    "a row twice": (pd.concat([rows(), rows()[:1]]), ["is listed twice"]),
    "a missing loss": (rows(loss=[np.nan, *curve()[1:]]), ["loss is NaN or infinite in 1 of 6 rows"]),
    "no rows": (rows()[:0], ["has no rows"]),
    "text": (rows(loss=["bad", *map(str, curve()[1:])]), ["column 'loss' holds text, e.g. 'bad' in row 1"]),
    "two accountings": (
        rows(flops_accounting=["6nd_total"] * 3 + ["modules"] * 3),
        ["flops_accounting = 6nd_total (3 rows), modules (3 rows)", "--where"],
    ),
}


@pytest.mark.parametrize("case", BAD_POINTS)
def test_points_that_cannot_be_fitted_are_one_line(refused, tmp_path, case):
    frame, words = BAD_POINTS[case]
    frame.to_csv(tmp_path / "bad.csv", index=False)
    message = refused(tmp_path / "bad.csv", *ASKED)
    for word in words:
        assert word in message


def test_a_group_that_cannot_be_fitted_is_named(refused, table, tmp_path):
    frame = pd.read_csv(table)
    frame[:8].to_csv(tmp_path / "short.csv", index=False)
    assert "group 'b': 2 points" in refused(tmp_path / "short.csv", *ASKED, "--group", "arch")
    frame.assign(arch=[None, *frame["arch"][1:]]).to_csv(tmp_path / "unnamed.csv", index=False)
    assert "column 'arch' is empty in 1 rows" in refused(tmp_path / "unnamed.csv", *ASKED, "--group", "arch")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--x", "compte", "--y", "loss"], ["unknown column 'compte'. Did you mean 'compute'?"]),
        (["--x", "compute", "--y", "los"], ["unknown column 'los'. Did you mean 'loss'?"]),
        ([*ASKED, "--group", "arhc"], ["unknown column 'arhc'. Did you mean 'arch'?"]),
        ([*ASKED, "--law", "powr"], ["unknown law 'powr'. Did you mean 'power'?", "power_offset"]),
        ([*ASKED, "--loss", "hubr:1"], ["hubr"]),
        ([*ASKED, "--holdout", "larges"], ["hold-out = 'larges'", "largest, each"]),
        ([*ASKED, "--level", "95"], ["level = 95", "between 0 and 1"]),
        ([*ASKED, "--predict", "ten"], ["--predict 'ten'", "numbers"]),
        ([*ASKED, "--predict", "-1"], ["finite positive"]),
        ([*ASKED, "--where", "arch"], ["where 'arch': write COLUMN=VALUE"]),
        ([*ASKED, "--where", "arch=c"], ["unknown value of column 'arch' 'c'", "a, b"]),
        ([*ASKED, "--derive", "compute"], ["derive 'compute': write NAME=EXPRESSION"]),
        ([*ASKED, "--derive", "z=open(loss)"], ["'open(loss)' is not allowed"]),
        ([*ASKED, "--filters", "{}x"], ["is no JSON"]),
        ([*ASKED, "--filters", '{"state": "finished"}'], ["--filters is for wandb:ENTITY/PROJECT"]),
        (["--x", "compute,loss", "--y", "loss"], ["1 input"]),
        (["--x", "compute,", "--y", "loss"], ["--x 'compute,'"]),
        (["--y", "loss"], ["--x is missing", "arch, compute, loss"]),
        (["--x", "loss", "--y", "loss"], ["column 'loss' is named twice"]),
    ],
    ids=lambda value: " ".join(value[-2:]) if isinstance(value, list) else "",
)
def test_mistakes_on_the_command_line_are_one_line(refused, table, arguments, words):
    message = refused(table, *arguments)
    for word in words:
        assert word in message


def test_sources_that_are_no_tables_are_one_line(refused, tmp_path):
    assert "no such file" in refused(tmp_path / "absent.csv", *ASKED)
    (tmp_path / "picture.csv").write_bytes(b"\x89PNG\r\n\x1a\n\x00\xff")
    assert "is no CSV" in refused(tmp_path / "picture.csv", *ASKED)
    (tmp_path / "points.xlsx").write_bytes(b"PK")
    assert "ends in one of .csv" in refused(tmp_path / "points.xlsx", *ASKED)
    assert "neither run directories" in refused(tmp_path, *ASKED)
    assert "wandb:ENTITY/PROJECT" in refused("wandb:project", *ASKED)


def test_json_goes_to_stdout_alone_and_parses_without_nan(archscale, table):
    code, out, err = archscale("fit", table, *ASKED, "--group", "arch", "--json")
    assert (code, err) == (0, "")
    assert json.loads(out) == strict_json(out)


def test_a_law_of_two_inputs_under_a_robust_loss_gives_the_published_optimum(fitted):
    """Besiroglu et al. 2024 (arXiv 2404.10102): Huber 1e-3 on ln L over 240 points, from the table as published."""
    published("besiroglu2024", "svg_extracted_data.csv")
    found = fitted(
        *(published_folder() / "besiroglu2024" / "svg_extracted_data.csv", "--law", "chinchilla"),
        *("--derive", "N=`Model Size`", "--derive", "D=`Training FLOP` / (6 * N)", "--drop-highest", 5),
        *("--x", "N,D", "--y", "loss", "--loss", "huber-log:1e-3", "--predict", "70e9,1.4e12"),
    )
    (entry,) = found["fits"]
    expected = {"A": 477.826, "B": 2143.417, "E": 1.817218, "alpha": 0.3473105, "beta": 0.3671724}
    assert entry["params"] == pytest.approx(expected, rel=1e-4)
    assert entry["objective"] == pytest.approx(1.018274017801e-3, rel=1e-9)
    assert entry["n"] == 240
    A, B, E, alpha, beta = entry["params"].values()
    (place,) = entry["predictions"]
    assert place["value"] == pytest.approx(A * 70e9**-alpha + B * 1.4e12**-beta + E, rel=1e-9)
    assert place["interval"][0] < place["value"] < place["interval"][1]


def test_groups_under_a_robust_loss_are_compared_too(fitted, table):
    comparisons = fitted(table, *ASKED, "--group", "arch", "--loss", "huber-log:0.01")["comparisons"]
    assert [entry["shared"] for entry in comparisons] == [["C"], ["b"], ["A", "b", "C"]]
    lad = fitted(table, *ASKED, "--group", "arch", "--loss", "lad")
    assert lad["comparisons"] == []
    assert any("least absolute deviations" in note for note in lad["notes"])


def test_weights_of_a_column_count_as_the_library_counts_them(fitted, table, tmp_path):
    frame = pd.read_csv(table).query("arch == 'a'").assign(w=[1.0, 2, 3, 4, 5, 6])
    frame.to_csv(tmp_path / "weighted.csv", index=False)
    found = fitted(tmp_path / "weighted.csv", *ASKED, "--weights", "w")["fits"][0]
    expected = fit("power_offset", X, curve(), weights=frame["w"])
    assert found["params"] == pytest.approx(expected.parameters, rel=1e-12)
    assert found["params"]["C"] != pytest.approx(fit("power_offset", X, curve()).parameters["C"], rel=1e-3)


def test_an_outlier_is_found_by_its_residual_and_the_refit_without_the_rule_says_what_it_did(fitted, table, tmp_path):
    frame = pd.read_csv(table).query("arch == 'a'")
    spiked = curve() + np.array([0, 0, 0.3, 0, 0, 0])
    frame.assign(loss=spiked).to_csv(tmp_path / "points.csv", index=False)
    (tmp_path / "table.yaml").write_text(
        "points: points.csv\nfit: {law: power, x: compute, y: loss}\nrules: {residual_mads: 10}\n"
    )
    found = fitted(tmp_path / "table.yaml")
    assert [entry["row"] for entry in found["left_out"]] == [3]
    moved = {entry["parameter"]: entry for entry in found["rules"]}
    assert moved["b"]["with_rule"] == pytest.approx(found["fits"][0]["params"]["b"], rel=1e-9)
    assert moved["b"]["without_rule"] == pytest.approx(fit("power", X, spiked).parameters["b"], rel=1e-6)
