"""`archscale advise` over runs that were written, not trained: specs of the demo, losses on a known law."""

import json
import math

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from archscale.cli import app
from archscale.commands.advise_candidates import costs_of, runs_of
from archscale.commands.advise_study import answer_of
from archscale.registry import UserError
from archscale.scaling.flops import training_flops
from archscale.spec import FlopsAccounting
from archscale.study import expand, load_study
from tests.analysis import fake_runs

FASTER = 3e13


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """All of the demo but one run of SambaY."""
    root, generator = tmp_path_factory.mktemp("runs"), np.random.default_rng(0)
    for cell in expand(load_study("demo")):
        spec = cell.spec
        loss = 60 * training_flops(spec, spec.tokens) ** -0.16 + 1.4 + 0.002 * generator.standard_normal()
        if cell.overrides != ("arch=sambay", "scale.target_params=160000", "scale.num_heads=5"):
            fake_runs.write_run(root, spec, loss=loss)
    return root


def answer(root, *, overrides=(), quantity=None, group=None, candidates="missing;seeds;sizes", at_most=None):
    return answer_of("demo", list(overrides), quantity, group, candidates, at_most, root)


def test_candidates_are_missing_cells_next_seeds_and_sizes(demo):
    with pytest.raises(UserError, match="sambay': 3 points at 3 distinct compute.* the cheapest is sambay-d8"):
        answer(demo)
    found = answer(demo, group="transformer_pp")
    kinds = [found.runs[item.candidate.label].kind for item in found.advised.advice]
    assert sorted(kinds) == ["seeds"] * 4 + ["sizes"] * 5
    every = {run.settings for run in found.runs.values()}
    assert ("arch=transformer_pp", "scale.target_params=25000", "scale.num_heads=2", "seed=1") in every
    assert ("arch=transformer_pp", "scale.num_heads=5", "scale.target_params=300000") in every
    assert [run.settings for run in found.runs.values() if run.kind == "missing"] == [
        ("arch=sambay", "scale.target_params=160000", "scale.num_heads=5")
    ]


def test_a_command_of_the_answer_makes_that_run(demo):
    found = answer(demo, group="transformer_pp")
    for item in found.advised.advice[:3]:
        run = found.runs[item.candidate.label]
        (cell,) = expand(load_study("demo"), run.settings)
        assert cell.run_id == item.candidate.label
        assert item.candidate.x == training_flops(cell.spec, cell.spec.tokens)


def test_costs_are_of_the_plan_or_of_measured_speed_and_say_so(demo):
    measured = answer(demo, group="transformer_pp")
    assert measured.costs.unit == "device-hours"
    assert "the speed of 7 finished runs" in measured.costs.basis
    stated = answer(
        demo,
        group="transformer_pp",
        overrides=[f"cluster.peak_flops_per_second={FASTER}", "cluster.mfu=0.5"],
    )
    assert stated.costs.basis.startswith("stated: 50 %")
    for identity, hours in stated.costs.by_run.items():
        spec = stated.runs[identity].cell.spec
        flops = training_flops(spec, spec.tokens, FlopsAccounting.MODULES)
        assert hours == pytest.approx(flops / (FASTER / 2) / 3600)


def test_without_any_speed_costs_are_flops(demo):
    cells = expand(load_study("demo"))
    runs, _ = runs_of(load_study("demo"), [], cells, {cell.run_id: 0.25 for cell in cells}, ["missing"])
    costs = costs_of(runs, pd.DataFrame(columns=["run_id", "state", "train_seconds", "tokens"]), cells)
    assert costs.unit == "FLOPs"
    assert "no speed is known" in costs.basis
    spec = cells[0].spec
    whole = training_flops(spec, spec.tokens, FlopsAccounting.MODULES)
    assert costs.by_run[cells[0].run_id] == pytest.approx(whole / 4)


def test_sizes_may_be_named_and_costs_limited(demo):
    named = answer(demo, group="transformer_pp", candidates="scale.target_params=70000,400000")
    assert {run.settings[-1] for run in named.runs.values()} == {
        "scale.target_params=70000",
        "scale.target_params=400000",
    }
    limit = min(item.candidate.cost for item in named.advised.advice)
    cheap = answer(demo, group="transformer_pp", candidates="scale.target_params=70000,400000", at_most=limit)
    assert len(cheap.advised.advice) == 1


def test_the_table_fits_a_terminal_and_json_is_plain(demo):
    arguments = ["advise", "demo", "--of", "transformer_pp", "--quantity", "loss@1e14", "--root", str(demo)]
    shown = CliRunner().invoke(app, [*arguments, "--top", "4"], catch_exceptions=False).output.splitlines()
    assert shown[0].startswith("loss at 1·10¹⁴ of transformer_pp: 95 % interval [")
    first = next(i for i, line in enumerate(shown) if line.startswith("group"))
    rows = shown[first - 1 : first + 5]
    assert all(len(line) <= 80 for line in rows)
    assert rows[-1].startswith("transformer_pp d8 w")
    assert any(line.startswith("  archscale sweep demo arch=transformer_pp ") for line in shown)
    assert any(
        line.startswith("note: the noise of transformer_pp is known from 1 residual degree of freedom")
        for line in shown
    )
    found = fake_runs.strict_json(CliRunner().invoke(app, [*arguments, "--json"], catch_exceptions=False).output)
    assert found["quantity"] == "loss@1e14"
    gains = [row["gain_per_cost"] for row in found["candidates"]]
    assert gains == sorted(gains, reverse=True)
    assert all(math.isfinite(row["width_ratio"]) and row["x"] > 0 for row in found["candidates"])
    assert json.dumps(found)


@pytest.mark.parametrize(
    ("study", "settings", "message"),
    [
        ("demo", {"candidates": "seed"}, "Did you mean 'seeds'"),
        ("demo", {"group": "transformer"}, "unknown group 'transformer'"),
        ("demo", {"at_most": 0.0, "group": "transformer_pp"}, "no such run is left"),
        ("ablations", {}, "compares without a law"),
        ("flops-tiny", {}, "no run of study flops-tiny has finished"),
    ],
)
def test_mistakes_are_named(demo, study, settings, message):
    given = {"quantity": None, "group": None, "candidates": "missing;seeds", "at_most": None} | settings
    with pytest.raises(UserError, match=message):
        answer_of(study, [], root=demo, **given)
