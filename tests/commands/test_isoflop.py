"""`archscale isoflop` as a terminal starts it, and docs/isoflop.md, which quotes it."""

import math
import re
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.analysis.published_data import published, published_folder
from tests.support.terminal import lines_at_80

DOCS = Path(__file__).parents[2] / "docs" / "isoflop.md"
OPEN_ATHENA = published_folder() / "isoflop_openathena2026" / "isoflops.csv"
COLUMNS = ("--budget", "budget", "--params", "params", "--tokens", "tokens", "--loss", "loss", "--flagged", "outlier")
ASKED = ("--budget", "C", "--params", "N", "--loss", "loss")
EXPONENT = 0.46


@pytest.fixture
def table(tmp_path):
    """Exact parabolas with N* = 0.1·C^0.46 at five budgets; one point is flagged, and its loss is far off."""
    rows = []
    for number, budget in enumerate(np.geomspace(1e18, 1e20, 5)):
        for t in np.linspace(-1.2, 1.2, 7):
            size = 0.1 * budget**EXPONENT * math.exp(t)
            off = number == 0 and t == 1.2
            loss = 2 + 0.05 * t**2 + (0.5 if off else 0)
            rows.append({"C": budget, "N": size, "D": budget / 6 / size, "loss": loss, "bad": str(off)})
    path = tmp_path / "runs.csv"
    pd.DataFrame(rows).to_csv(path, index=False)
    return path


@pytest.fixture
def archscale(terminal):
    return partial(terminal, "isoflop")


@pytest.fixture(scope="module")
def sections():
    """What the command prints of all published experiments, by experiment."""
    published("isoflop_openathena2026", "isoflops.csv")
    lines = lines_at_80("isoflop", str(OPEN_ATHENA), *COLUMNS, "--group", "experiment")
    parts: dict[str, list[str]] = {}
    for line in lines:
        if head := re.match(r"(\w+): \d+ points, \d+ budgets", line):
            parts[head[1]] = []
        parts[next(reversed(parts))].append(line)
    return parts


def exponents_of_tokens(lines: list[str]) -> dict[str, list[str]]:
    """By selection of points, the exponent of D* by parabola, cubic and surface, as printed."""
    found: dict[str, list[str]] = {}
    for line in lines:
        if row := re.search(r"^(?:(all|unflagged) \d+)? +(parabola|cubic|surface) .*\] (\d\.\d{4}) \[", line):
            chosen = row[1] or next(reversed(found))
            found.setdefault(chosen, []).append(row[3])
    return found


def test_all_published_experiments_are_printed_in_80_columns(sections):
    assert len(sections) == 8
    for name, lines in sections.items():
        exponents = exponents_of_tokens(lines)
        assert {chosen: len(values) for chosen, values in exponents.items()} == {"all": 3, "unflagged": 3}, name
        assert any(line.startswith("With all ") for line in lines)
    llama = exponents_of_tokens(sections["llama_3__raw_loss"])
    assert (llama["all"][0], llama["unflagged"][0]) == ("0.5368", "0.5000")


def test_the_page_shows_what_the_command_prints_of_llama_3(sections):
    (shown,) = re.findall(r"```\n(llama_3__raw_loss: .*?)```", DOCS.read_text(), flags=re.DOTALL)
    assert shown.strip() == "\n".join(sections["llama_3__raw_loss"]).strip()


def test_the_table_of_the_page_has_the_exponents_of_the_command(sections):
    rows = re.findall(r"^\| (\w+__\w+) \|(.*)\|$", DOCS.read_text(), flags=re.MULTILINE)
    assert len(rows) == 8
    for name, cells in rows:
        exponents = exponents_of_tokens(sections[name])
        expected = [f"{a} → {b}" for a, b in zip(exponents["all"], exponents["unflagged"], strict=True)]
        assert [cell.strip() for cell in cells.split("|")] == expected, name


def test_the_json_has_the_law_that_the_points_were_made_from(found, table):
    (entry,) = found(table, *ASKED, "--flagged", "bad", "--predict", "1e21")["experiments"]
    selections = {item["points"]: item for item in entry["selections"]}
    assert selections["without flagged"]["n"] == 34
    for curve in selections["without flagged"]["curves"]:
        assert curve["N"]["exponent"] == pytest.approx(EXPONENT, abs=1e-9)
        assert curve["D"]["exponent"] == pytest.approx(1 - EXPONENT, abs=1e-9)
        assert curve["N"]["coefficient"] == pytest.approx(0.1, rel=1e-6)
        assert [item["verdict"] for item in curve["N"]["optima"]] == ["bracketed"] * 5
    assert entry["sensitivity"]["D"]["without_flagged"] == pytest.approx(1 - EXPONENT, abs=1e-9)
    assert abs(entry["sensitivity"]["D"]["shift"]) > 0.005
    assert [item["curve"] for item in entry["predictions"]] == ["parabola", "cubic", "surface"]


def test_a_prediction_is_the_law_at_that_budget(found, table):
    clean = (table, *ASKED, "--where", "bad=False", "--predict", "1e21", "--predict", "1e22")
    (entry,) = found(*clean)["experiments"]
    for item in entry["predictions"][0::3] + entry["predictions"][1::3]:
        assert item["N"]["value"] == pytest.approx(0.1 * item["budget"] ** EXPONENT, rel=1e-6)
        assert item["N"]["value"] * item["D"]["value"] == pytest.approx(item["budget"] / 6, rel=1e-6)


def test_tokens_are_enough_and_may_be_derived(found, table):
    by_size = found(table, *ASKED)["experiments"][0]["selections"][0]["curves"][0]
    derived = found(table, "--budget", "C", "--tokens", "T", "--loss", "loss", "--derive", "T=C/(6*N)")
    by_tokens = derived["experiments"][0]["selections"][0]["curves"][0]
    for of in ("N", "D"):
        assert by_tokens[of]["exponent"] == pytest.approx(by_size[of]["exponent"], rel=1e-9)


def test_a_budget_that_is_left_out_has_its_reason_in_the_table_and_in_a_sentence(archscale, table):
    rows = pd.read_csv(table)
    first = rows.C.eq(rows.C.min())
    rows.loc[first, "loss"] = 2 + 0.1 * np.log(rows.loc[first, "N"])
    rows.to_csv(table, index=False)
    code, out, _ = archscale(table, *ASKED)
    assert code == 0
    assert re.search(r"^1·10¹⁸ +7 +– +– +left out$", out, flags=re.MULTILINE)
    assert re.search(r"^Left out of D\*: 1·10¹⁸ FLOPs, the ", out, flags=re.MULTILINE)
    assert "4 of 5" in out


def test_rules_of_a_description_leave_rows_out_and_say_so(found, table):
    described = table.with_suffix(".yaml")
    described.write_text(f"points: {table.name}\nrules: {{flagged: [bad]}}\n")
    result = found(described, *ASKED)
    assert result["experiments"][0]["n"] == 34
    assert result["notes"] == ["left out: 1 row, flagged in column bad"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((), "--params or --tokens is missing: name one of the columns C, N, D, loss, bad"),
        (("--params", "N", "--budget", "C"), "--loss is missing"),
        (("--params", "N", "--budget", "B", "--loss", "loss"), "unknown column 'B'"),
        ((*ASKED, "--flagged", "loss"), "a flag is true or false"),
        ((*ASKED, "--group", "C"), "column 'C' has one value"),
        ((*ASKED, "--level", "95"), "level = 95"),
        ((*ASKED, "--predict", "-1"), "-1 is no number of FLOPs"),
        (("--params", "bad", "--budget", "C", "--loss", "loss"), "column 'bad' is not a finite positive number in 34"),
    ],
)
def test_mistakes_end_in_one_line(archscale, table, options, message):
    code, out, err = archscale(table, *options)
    assert (code, out) == (2, "")
    assert len(err.splitlines()) == 1
    assert message in err
