"""A budget refuses what does not fit, before anything starts, and says what would."""

import json
import re
from dataclasses import fields

import pytest
from typer.testing import CliRunner

from archscale.cli import app
from archscale.compose import ClusterConfig
from archscale.plan import Standing, check_budget, plan
from archscale.plan.budget import over_budget
from archscale.plan.cost import cost_of, makespan
from archscale.registry import UserError
from archscale.runlog.directory import Result, RunDirectory
from archscale.runlog.files import write_json
from archscale.scaling.calibration import Machine, Measurement, add_measurements
from archscale.scaling.flops import training_flops
from archscale.spec import Budget, FlopsAccounting
from archscale.study import Study, expand
from archscale.trunks import branch_file, trunk_hash

# A device that does 1e9 FLOPs a second.
SPEED = ("cluster.peak_flops_per_second=4e9", "cluster.mfu=0.25", "cluster.device_hour_price=3.0")
FAST = ("scale.tokens=65536", "scale.tokens_per_param=null", *SPEED)
SIZES = [128, 64, 32, 16]


def study_with(*overrides: str, **limits: float) -> Study:
    given = (*FAST, *overrides)
    return Study(name="s", overrides=given, product={"scale.width": SIZES}, budget=Budget(**limits))


def hours_of(study: Study) -> dict[str, float]:
    """By override, from the FLOPs of the modules alone."""
    flops = {
        cell.overrides[0]: training_flops(cell.spec, cell.spec.tokens, FlopsAccounting.MODULES)
        for cell in expand(study)
    }
    return {name: number / 1e9 / 3600 for name, number in flops.items()}


def test_device_hours_money_and_the_clock_follow_from_speed_and_price():
    study = study_with("cluster.devices_per_run=4")
    hours = hours_of(study)
    for run, (name, expected) in zip(plan(study).runs, hours.items(), strict=True):
        assert name == f"scale.width={run.width}"
        assert run.device_hours == pytest.approx(expected, rel=1e-12)
        assert run.cost == pytest.approx(3 * expected, rel=1e-12)
        assert run.wall_clock_hours == pytest.approx(expected / 4, rel=1e-12)
        assert "25 % of a peak of 4e+09" in run.cost_basis


def test_a_calibration_wins_over_a_stated_share_of_the_peak(tmp_path):
    machine = Machine(device="cpu", name="abacus", threads=1, precision="float32")
    measured = Measurement(
        machine=machine,
        torch="2",
        date="2026-01-01",
        arch="transformer_pp",
        non_embedding_parameters=30_000,
        width=16,
        heads=2,
        head_dim=8,
        depth=8,
        vocab_size=256,
        sequence_length=128,
        sequences=4,
        window=128,
        tokens_per_second=1.0,
        flops_per_second=2e9,
    )
    add_measurements(tmp_path / "speed.json", [measured])
    (cell, *_) = expand(study_with(f"cluster.calibration={tmp_path}/speed.json"))
    cost = cost_of(cell.spec, cell.config.cluster)
    assert cost.device_hours == pytest.approx(hours_of(study_with())["scale.width=128"] / 2, rel=1e-12)
    assert "abacus" in cost.basis
    with pytest.raises(UserError, match="no such calibration"):
        cost_of(cell.spec, ClusterConfig(name="local", calibration=f"{tmp_path}/other.json"))


def test_without_a_speed_hours_are_unknown_and_the_plan_says_how_to_know_them():
    study = Study(name="s", overrides=FAST[:2])
    (run,) = plan(study).runs
    assert run.device_hours is run.cost is run.wall_clock_hours is None
    assert "archscale bench train --calibration FILE" in run.cost_basis
    limited = Study(name="s", overrides=FAST[:2], budget=Budget(device_hours=5.0))
    with pytest.raises(UserError, match=r"budget\.device_hours = 5.* not known: .*bench train --calibration FILE"):
        check_budget(limited, expand(limited), Standing())


def test_money_needs_a_price():
    study = study_with("cluster.device_hour_price=null", cost=5.0)
    with pytest.raises(UserError, match=r"budget\.cost = 5.* cluster\.device_hour_price"):
        check_budget(study, expand(study), Standing())


def test_what_fits_is_let_through_and_what_does_not_is_named_with_what_would():
    hours = hours_of(study_with())
    total = sum(hours.values())
    enough, tight = study_with(device_hours=total * 1.001), study_with(device_hours=total * 0.999)
    assert over_budget(enough, expand(enough), Standing()) is None
    problem = over_budget(tight, expand(tight), Standing())
    assert problem is not None
    assert "\n" not in problem
    assert f"4 missing runs need {total:.3g} device-hours, over budget.device_hours" in problem
    assert "3 fit (scale.width=16; scale.width=32; scale.width=64)" in problem
    assert plan(tight).over_budget == problem


@pytest.mark.parametrize("number", range(5))
def test_the_cheapest_fit_first(number):
    hours = sorted(hours_of(study_with()).values())
    limit = sum(hours[:number]) * 1.0001 + hours[0] * 0.0001
    study = study_with(device_hours=limit)
    problem = over_budget(study, expand(study), Standing())
    if number == 4:
        assert problem is None
    elif number == 0:
        assert "not even the cheapest" in (problem or "")
    else:
        assert f" {number} fit (" in (problem or "")


def test_finished_runs_cost_nothing_and_started_ones_what_they_have_left():
    hours = hours_of(study_with())
    cells = expand(study_with())
    ids = {cell.overrides[0]: cell.run_id for cell in cells}
    left = {ids["scale.width=128"]: 0.0, ids["scale.width=64"]: 0.25}
    need = 0.25 * hours["scale.width=64"] + hours["scale.width=32"] + hours["scale.width=16"]
    standing = Standing(left=left)
    assert over_budget(study_with(device_hours=need * 1.001), cells, standing) is None
    assert "3 missing runs" in (over_budget(study_with(device_hours=need * 0.999), cells, standing) or "")


def test_every_limit_counts():
    total = sum(hours_of(study_with()).values())
    cells = expand(study_with())
    assert "USD, over budget.cost" in (over_budget(study_with(cost=2.9 * total), cells, Standing()) or "")
    assert over_budget(study_with(cost=3.1 * total), cells, Standing()) is None
    both = over_budget(study_with(cost=2.9 * total, wall_clock_hours=0.9 * total), cells, Standing()) or ""
    assert "budget.cost" in both
    assert "budget.wall_clock_hours" in both


def test_the_clock_runs_for_all_runs_that_go_on_at_once():
    assert makespan([3, 1, 1, 1], 1) == 6
    assert makespan([3, 1, 1, 1], 2) == 3
    assert makespan([1, 1, 1, 3], 2) == 4
    assert makespan([], 3) == 0
    cells, total = expand(study_with()), sum(hours_of(study_with()).values())
    limited = study_with(wall_clock_hours=0.9 * total)
    assert over_budget(limited, cells, Standing(parallel_runs=1))
    assert over_budget(limited, cells, Standing(parallel_runs=4)) is None


def test_branches_of_a_trunk_cost_their_own_steps():
    wsd = ("optim=wsd", "optim.warmup_tokens=2048", "scale.tokens_per_param=null", *SPEED)
    study = Study(name="s", overrides=wsd, product={"scale.tokens": [262_144, 524_288]})
    short, long = plan(study).runs
    (cell, _) = expand(study)
    alone = cost_of(cell.spec, cell.config.cluster).device_hours
    share = 1 - cell.spec.optim.decay_start / cell.spec.optim.steps
    assert short.device_hours == pytest.approx(share * alone, rel=1e-12)
    assert short.saved_flops == pytest.approx((1 - share) * short.flops, rel=1e-12)
    assert long.saved_flops == 0
    need = short.device_hours + long.device_hours
    limited = Study(name="s", overrides=wsd, product=study.product, budget=Budget(device_hours=need * 1.001))
    assert over_budget(limited, expand(limited), Standing()) is None


WSD = ("optim=wsd", "optim.warmup_tokens=2048", "scale.tokens_per_param=null", *SPEED)
LENGTHS = [262_144, 524_288, 1_048_576]


def budgets_with(*overrides: str, **limits: float) -> Study:
    given = (*WSD, *overrides)
    return Study(name="s", overrides=given, product={"scale.tokens": LENGTHS}, budget=Budget(**limits))


def hours_alone(cells) -> list[float]:
    return [cost_of(cell.spec, cell.config.cluster).device_hours for cell in cells]


def decay_share(cell) -> float:
    return 1 - cell.spec.optim.decay_start / cell.spec.optim.steps


def just_enough(need: float, cells, standing: Standing) -> bool:
    """Whether `need` device-hours are what a budget counts, to 0.1 %."""
    enough, tight = (budgets_with(device_hours=need * factor) for factor in (1.001, 0.999))
    return over_budget(enough, cells, standing) is None and over_budget(tight, cells, standing) is not None


def test_a_finished_trunk_without_states_leaves_the_trunk_to_the_longest_that_is_missing():
    cells = expand(budgets_with())
    short, middle, long = hours_alone(cells)
    standing = Standing(left={cells[2].run_id: 0.0})
    assert just_enough(decay_share(cells[0]) * short + middle, cells, standing)
    planned = [run.device_hours for run in plan(budgets_with(), standing=lambda cells: standing).runs]
    assert planned == pytest.approx([decay_share(cells[0]) * short, middle, long], rel=1e-12)


def test_states_that_were_kept_are_begun_with():
    cells = expand(budgets_with())
    short, middle, _ = hours_alone(cells)
    step = cells[0].spec.optim.decay_start
    standing = Standing(left={cells[2].run_id: 0.0}, kept={trunk_hash(cells[0].spec): [step]})
    assert just_enough(decay_share(cells[0]) * short + (1 - step / cells[1].spec.optim.steps) * middle, cells, standing)


@pytest.mark.parametrize("passed", [False, True])
def test_a_trunk_under_way_serves_the_steps_that_it_has_still_to_pass(passed):
    cells = expand(budgets_with())
    short, middle, long = hours_alone(cells)
    done = cells[0].spec.optim.decay_start + (2 if passed else -2)
    left = 1 - done / cells[2].spec.optim.steps
    first = 1.0 if passed else decay_share(cells[0])
    need = left * long + decay_share(cells[1]) * middle
    # The middle one starts behind the first one's decay, so it does not carry it.
    assert just_enough(need + first * short, cells, Standing(left={cells[2].run_id: left}))


@pytest.mark.parametrize("share", [0.3, 0.45, 0.6, 0.9, 0.99])
def test_the_runs_named_as_fitting_keep_the_budget(share):
    """As a study of their own: without the trunk that was left out."""
    product = {"scale.tokens": LENGTHS, "scale.width": [16, 24]}
    whole = Study(name="s", overrides=WSD, product=product)
    limit = share * sum(run.device_hours for run in plan(whole).runs)
    limited = Study(name="s", overrides=WSD, product=product, budget=Budget(device_hours=limit))
    cells = expand(limited)
    problem = over_budget(limited, cells, Standing()) or ""
    named = re.search(r"(\d) fit \((.*)\):", problem)
    subset = [cell for cell in cells if " ".join(cell.overrides) in named[2].split("; ")]
    assert len(subset) == int(named[1]) > 0
    assert over_budget(limited, subset, Standing()) is None


def test_plan_sees_which_states_lie_under_the_root(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(f"overrides: {list(WSD)}\nproduct: {{scale.tokens: {LENGTHS}}}\n".replace("'", ""))
    cells = expand(budgets_with())
    starts = [cell.spec.optim.decay_start for cell in cells]

    def first_steps():
        rows = json.loads(CliRunner().invoke(app, ["plan", str(path), "--json", "--root", str(tmp_path)]).output)
        return [round(row["saved_flops"] / row["flops"] * row["steps"]) for row in rows["cells"]]

    assert first_steps() == [starts[0], starts[1], 0]
    long, middle = (RunDirectory(tmp_path / cells[place].run_id) for place in (2, 1))
    long.create(cells[2].spec)
    values = dict.fromkeys((entry.name for entry in fields(Result)), 1)
    write_json(long.path / "result.json", values | {"verdict": "finished", "flops_accounting": "modules"})
    assert first_steps() == [starts[0], 0, 0]
    for step in starts[:2]:
        state = branch_file(long.path, trunk_hash(cells[0].spec), step)
        state.parent.mkdir(exist_ok=True)
        state.touch()
    assert first_steps() == [starts[0], starts[1], 0]
    state.unlink()
    assert first_steps() == [starts[0], starts[0], 0]
    middle.create(cells[1].spec)
    middle.checkpoint_path.touch()
    middle.attempt_path(1).mkdir(parents=True)
    write_json(middle.attempt_path(1) / "provenance.json", {"trunk": {"step": starts[1]}})
    assert first_steps() == [starts[0], starts[1], 0]


def test_a_sweep_over_budget_starts_nothing(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(
        f"overrides: {list(FAST)}\nproduct: {{scale.width: {SIZES}}}\nbudget: {{device_hours: 1.0e-9}}\n".replace(
            "'", ""
        )
    )
    root = tmp_path / "runs"
    for command in ("sweep", "retry"):
        result = CliRunner().invoke(app, [command, str(path), "--root", str(root)])
        assert isinstance(result.exception, UserError)
        assert "over budget.device_hours = 1e-09; not even the cheapest" in str(result.exception)
    assert not root.exists()
    shown = CliRunner().invoke(app, ["plan", str(path), "--root", str(root)])
    assert shown.exit_code == 0
    assert re.search(r"over\s+budget: study mine: 4 missing runs", shown.output)


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("mfu", 1.5, "cluster.mfu = 1.5"),
        ("mfu", None, "cluster.peak_flops_per_second = 4.0 and cluster.mfu = None"),
        ("mfu", 1e-300, "cluster.mfu = 1e-300: a device must do at least 1 FLOP a second"),
        ("peak_flops_per_second", -1.0, "at least 1 FLOP a second"),
        ("peak_flops_per_second", 1e-300, "cluster.peak_flops_per_second = 1e-300 times cluster.mfu = 0.5"),
        ("devices_per_run", 0, "cluster.devices_per_run = 0"),
        ("device_hour_price", -1.0, "cluster.device_hour_price = -1.0"),
    ],
)
def test_impossible_clusters_are_refused(field, value, words):
    values = {"name": "local", "peak_flops_per_second": 4.0, "mfu": 0.5} | {field: value}
    with pytest.raises(ValueError, match=re.escape(words)):
        ClusterConfig(**values)
