"""`archscale advise` of a table, and docs/advise.md, which quotes it."""

import re
import shlex
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analysis.advise import Candidate, advise, quantity_of
from tests.analysis.curves import curve
from tests.analysis.published_data import published, published_folder

DOCS = Path(__file__).parents[2] / "docs" / "advise.md"
X = np.geomspace(1.0, 16.0, 5)
ASKED = ("--x", "compute", "--y", "loss", "--group", "arch")


@pytest.fixture
def table(tmp_path):
    """Two groups at five x; an hour is 2·x^0.9."""
    frames = []
    for seed, name in enumerate("ab"):
        loss = curve(X) + 0.01 * np.random.default_rng(seed).standard_normal(X.size)
        frames.append(pd.DataFrame({"arch": name, "compute": X, "hours": 2 * X**0.9, "loss": loss}))
    path = tmp_path / "points.csv"
    pd.concat(frames).to_csv(path, index=False)
    return path


@pytest.fixture
def archscale(terminal):
    return partial(terminal, "advise")


def described(table: Path, unit: str) -> Path:
    path = table.with_suffix(".yaml")
    path.write_text(
        f"points: {table.name}\ncolumns: {{compute: {{meaning: Compute, unit: {unit}}}}}\n"
        "fit: {law: power_offset, x: compute, y: loss, group: arch}\n"
    )
    return path


def test_candidates_are_seeds_and_geometric_steps_of_the_groups_asked_for(found, table):
    answer = found(table, *ASKED, "--of", "b", "--cost-per-x", "1")
    seeds = sorted(row["x"] for row in answer["candidates"] if row["kind"] == "seed")
    sizes = sorted(row["x"] for row in answer["candidates"] if row["kind"] == "size")
    assert seeds == list(X)
    assert sizes == [1.4, 2.8, 5.7, 11.0, 32.0, 64.0]
    assert {row["group"] for row in answer["candidates"]} == {"b"}
    assert {row["command"] for row in answer["candidates"]} == {None}


def test_the_json_is_what_the_library_says_of_the_same_candidates(found, table):
    answer = found(table, *ASKED, "--of", "a", "--candidates", "compute=8,32", "--cost-per-x", "3")
    theirs = advise(
        "power_offset",
        pd.read_csv(table),
        x="compute",
        y="loss",
        group="arch",
        quantity=quantity_of("C", "power_offset"),
        candidates=[Candidate(label=str(x), group="a", x=x, cost=3 * x) for x in (8.0, 32.0)],
        groups=["a"],
    )
    assert [row["x"] for row in answer["candidates"]] == [item.candidate.x for item in theirs.advice]
    assert [row["width_ratio"] for row in answer["candidates"]] == pytest.approx([i.ratio for i in theirs.advice])
    assert [row["cost"] for row in answer["candidates"]] == [3 * item.candidate.x for item in theirs.advice]
    assert answer["now"]["a"] == pytest.approx([theirs.now["a"].low, theirs.now["a"].high])


def test_steps_go_on_up_to_the_cost_that_is_allowed(found, table):
    answer = found(table, *ASKED, "--of", "a", "--candidates", "sizes", "--cost-per-x", "2", "--at-most", "600")
    assert sorted(row["x"] for row in answer["candidates"])[-4:] == [32.0, 64.0, 130.0, 260.0]


def test_costs_are_of_a_column_or_of_x_in_flops_and_say_so(found, table):
    places = ("--of", "a", "--candidates", "compute=4,64")
    of_column = found(table, *ASKED, *places, "--cost", "hours")
    assert of_column["cost_unit"] == "hours"
    assert of_column["cost_basis"] == "the power law of column hours in compute, exponent 0.90"
    for row in of_column["candidates"]:
        assert row["cost"] == pytest.approx(2 * row["x"] ** 0.9)
    of_x = found(described(table, "FLOPs"), *places)
    assert of_x["cost_basis"] == "compute itself, which is declared in FLOPs"
    assert all(row["cost"] == row["x"] for row in of_x["candidates"])


def test_a_gap_is_of_the_two_groups_asked_for(found, table):
    places = ("--candidates", "compute=64", "--cost-per-x", "1")
    answer = found(table, *ASKED, *places, "--of", "a,b", "--quantity", "gap@64")
    assert list(answer["now"]) == ["a − b"]
    assert {row["group"] for row in answer["candidates"]} == {"a", "b"}


def test_points_without_groups_are_one(found, table):
    plain = ("--x", "compute", "--y", "loss", "--where", "arch=a", "--candidates", "compute=32", "--cost-per-x", "1")
    grouped = found(table, *ASKED, "--of", "a", "--candidates", "compute=32", "--cost-per-x", "1")
    answer = found(table, *plain)
    assert list(answer["now"]) == ["loss"]
    assert answer["candidates"][0]["width_ratio"] == pytest.approx(grouped["candidates"][0]["width_ratio"])


def test_long_tables_are_offered_a_few_places(found, tmp_path):
    x = np.geomspace(1, 100, 40)
    path = tmp_path / "long.csv"
    losses = curve(x) + 0.01 * np.random.default_rng(0).standard_normal(x.size)
    pd.DataFrame({"x": x, "loss": losses}).to_csv(path, index=False)
    answer = found(path, "--x", "x", "--y", "loss", "--cost-per-x", "1", "--candidates", "seeds")
    seeds = sorted(row["x"] for row in answer["candidates"])
    assert len(seeds) == 12
    assert [seeds[0], seeds[-1]] == pytest.approx([1, 100])


def test_the_page_shows_what_the_command_prints(archscale):
    published("archscale_sambay", "points.csv")
    quoted = re.search(r"```\narchscale advise (sambay_flops .*)\n```\n\n```\n(.*?)```", DOCS.read_text(), re.DOTALL)
    assert quoted
    command, shown = quoted.groups()
    arguments = [str(published_folder()) if word == "DATA" else word for word in shlex.split(command)]
    code, out, _ = archscale(*arguments)
    assert code == 0
    assert out.startswith(shown)
    table = shown.split("\n\n")[1].splitlines()
    assert len(table) == 9
    assert all(len(line) <= 80 for line in table)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (ASKED, "what a run costs is not known, as compute is not declared in FLOPs"),
        (("--x", "compute"), "--y is missing: name one of the columns arch, compute, hours, loss"),
        ((*ASKED, "--cost", "hour"), "Did you mean 'hours'"),
        ((*ASKED, "--cost", "arch"), "holds text"),
        ((*ASKED, "--cost-per-x", "0"), "a cost is positive"),
        ((*ASKED, "--cost-per-x", "1", "--of", "c"), "unknown group 'c'"),
        ((*ASKED, "--cost-per-x", "1", "--candidates", "seed"), "Did you mean 'seeds'"),
        ((*ASKED, "--cost-per-x", "1", "--candidates", "compute=-1"), "write positive numbers"),
        ((*ASKED, "--cost-per-x", "1", "--at-most", "0.1"), "no such run is left; name sizes, e.g. "),
        ((*ASKED, "--cost-per-x", "1", "--level", "0"), "level = 0"),
        ((*ASKED, "scale.depth=8"), "overrides are for studies"),
    ],
)
def test_mistakes_end_in_one_line(archscale, table, options, message):
    code, out, err = archscale(table, *options)
    assert (code, out) == (2, "")
    assert len(err.splitlines()) == 1
    assert message in err


def test_a_unit_that_is_no_compute_is_no_cost(archscale, table):
    code, _, err = archscale(described(table, "tokens"))
    assert code == 2
    assert "what a run costs is not known" in err


def test_options_of_tables_are_refused_for_a_study(archscale):
    code, _, err = archscale("demo", "--group", "arch")
    assert code == 2
    assert "--group is for tables, and demo is none; groups of a study are named with --of" in err
