import pandas as pd
import pytest

from archscale.plan import matching, plan, plan_json, plan_table, recount, setting_of, short_scientific
from archscale.registry import UserError
from archscale.study import Study, expand

FAST = ("scale.tokens=65536", "scale.tokens_per_param=null")


def test_a_report_counts_compute_as_its_command_says():
    study, total = Study(name="s", overrides=FAST, product={"seed": [0, 1]}), ["flops_accounting=6nd_total"]
    cells = expand(study, total)
    runs = pd.DataFrame(
        {
            "run_id": [cell.run_id for cell in cells],
            "tokens": [65536, 2048],
            "compute": [1.0, 1.0],
            "flops_accounting": "6nd_non_embedding",
        }
    )
    counted, planned = recount(runs, cells), plan(study, total).runs
    assert list(counted["flops_accounting"]) == ["6nd_total"] * 2
    assert counted["compute"][0] == planned[0].flops == 6 * planned[0].parameters * 65536
    assert counted["compute"][1] == 6 * planned[1].parameters * 2048  # a run that diverged early
    assert list(runs["compute"]) == [1.0, 1.0]


def test_runs_without_a_result_have_no_compute():
    (cell,) = expand(Study(name="s", overrides=FAST))
    runs = pd.DataFrame(
        {"run_id": [cell.run_id], "tokens": [65536], "compute": [float("nan")], "flops_accounting": [None]}
    )
    assert recount(runs, [cell])["compute"].isna().all()


def test_a_report_knows_what_the_study_set_for_a_run_beside_the_architecture():
    product = {"arch": ["transformer_pp", "sambay"], "seed": [0, 1]}
    cells = expand(Study(name="s", overrides=FAST, product=product))
    runs = pd.DataFrame({"run_id": [cell.run_id for cell in cells], "tokens": 65536, "compute": float("nan")})
    assert list(recount(runs, cells)["setting"]) == ["seed=0", "seed=1"] * 2
    assert [setting_of(cell) for cell in cells] == ["seed=0", "seed=1"] * 2


TWO = Study(name="s", overrides=FAST, product={"arch": ["transformer_pp", "sambay"], "scale.depth": [8, 16]})


def test_the_runs_of_a_matched_plan_are_those_that_a_sweep_would_train():
    given = matching("transformer_pp", 2)
    planned = plan(TWO, given)
    assert [run.run_id for run in planned.runs] == [cell.run_id for cell in expand(TWO, given)]
    by_arch = {arch: [run for run in planned.runs if run.arch == arch] for arch in ("transformer_pp", "sambay")}
    for peer, run in zip(*by_arch.values(), strict=True):
        assert peer.target_parameters == run.target_parameters == peer.non_embedding_parameters
        assert peer.mismatch == 0
        assert run.width % 2 == 0
        assert run.mismatch == pytest.approx(run.non_embedding_parameters / run.target_parameters - 1)
        assert 0 < abs(run.mismatch) < 0.25


def test_a_plan_without_targets_says_how_unequal_its_architectures_are():
    planned = plan(TWO)
    assert all(run.target_parameters is run.mismatch is None for run in planned.runs)
    sizes = {(run.arch, run.depth): run.non_embedding_parameters for run in planned.runs}
    excess = {depth: sizes["sambay", depth] / sizes["transformer_pp", depth] - 1 for depth in (8, 16)}
    worst = max(excess, key=lambda depth: excess[depth])
    (note,) = planned.notes
    assert f"sambay has {100 * excess[worst]:.1f} % more non-embedding parameters than transformer_pp at" in note
    assert f"at depth {worst} " in note
    assert "--match-parameters" in note


def test_cells_of_unequal_sizes_are_set_against_each_other_by_what_the_study_set():
    # The peers grow by less than they are apart, so that the nearest size is not the one to compare with.
    study = Study(
        name="s", overrides=FAST, product={"arch": ["transformer_pp", "sambay"], "scale.num_heads": [2, 3, 4]}
    )
    sizes = {(run.arch, run.num_heads): run.non_embedding_parameters for run in plan(study).runs}
    excess = max(sizes["sambay", heads] / sizes["transformer_pp", heads] - 1 for heads in (2, 3, 4))
    assert f"{100 * excess:.1f} %" in plan(study).notes[0]


def test_one_architecture_has_nothing_to_be_equal_to():
    assert plan(Study(name="s", overrides=FAST)).notes == ()


def test_changed_key_value_heads_are_noted_once_per_architecture_and_depth():
    free = (*FAST, "arch=sambay_da", "scale.num_heads=null")
    study = Study(name="s", overrides=free, product={"scale.depth": [8, 12, 20], "seed": [0, 1]})
    planned = plan(study, ["scale.num_kv_heads=null"])
    assert [note.partition(":")[0] for note in planned.notes] == ["sambay_da at depth 12", "sambay_da at depth 20"]
    assert [cell["num_kv_heads"] for cell in plan_json(planned)["cells"]] == [2, 2, 4, 4, 4, 4]
    assert plan_json(planned)["notes"] == list(planned.notes)
    assert plan(study, ["scale.num_kv_heads=2"]).notes == ()


def test_the_table_has_a_column_of_mismatches_where_widths_are_solved():
    headings = [column.header for column in plan_table(plan(TWO)).columns]
    assert "mis-\nmatch" not in headings
    solved = plan_table(plan(TWO, ["scale.match_arch=transformer_pp"]))
    assert [column.header for column in solved.columns if column.header not in headings] == ["mis-\nmatch"]
    assert list(solved.columns[4].cells)[:2] == ["+0.00%", "+0.00%"]


@pytest.mark.parametrize(
    ("wanted", "multiple", "overrides"),
    [
        ("25_000", None, ["scale.target_params=25000", "scale.match_arch=null", "scale.width=null"]),
        (
            "9.731e8",
            8,
            ["scale.target_params=973100000", "scale.match_arch=null", "scale.width=null", "scale.width_multiple=8"],
        ),
        ("sambay", None, ["scale.match_arch=sambay", "scale.target_params=null", "scale.width=null"]),
        (None, 8, ["scale.width_multiple=8"]),
        (None, None, []),
    ],
)
def test_the_options_of_plan_are_overrides(wanted, multiple, overrides):
    assert matching(wanted, multiple) == overrides


@pytest.mark.parametrize("wanted", ["transformer_pp", "30000"])
@pytest.mark.parametrize(
    "says",
    [
        {"overrides": (*FAST, "scale.width=32")},
        {"overrides": (*FAST, "scale.target_params=40000")},
        {"overrides": (*FAST, "scale.match_arch=sambay")},
        {"product": {"scale.target_params": [25_000, 46_000]}},
        {"zip": {"scale.width": [16, 24], "seed": [0, 1]}},
    ],
)
def test_what_a_study_says_of_the_width_makes_way_for_the_option(wanted, says):
    study = Study(name="s", **{"overrides": FAST, **says})
    given = matching(wanted, None)
    planned = plan(study, given)
    assert [run.run_id for run in planned.runs] == [cell.run_id for cell in expand(study, given)]
    peer = plan(Study(name="peer", overrides=FAST)).runs[0].non_embedding_parameters
    assert {run.target_parameters for run in planned.runs} == {peer if wanted == "transformer_pp" else 30_000}


def test_a_command_that_asks_for_two_widths_is_refused():
    given = ["scale.width=32"]
    with pytest.raises(UserError, match="scale.width = 32 and scale.match_arch = sambay"):
        plan(TWO, [*given, *matching("sambay", None, given)])


@pytest.mark.parametrize("wanted", ["sambya", "inf", "nan", "1M"])
def test_what_is_no_number_and_no_architecture_is_refused(wanted):
    with pytest.raises(UserError, match=f"unknown architecture for --match-parameters '{wanted}'.*25_000"):
        matching(wanted, None)


def test_numbers_are_short():
    assert [short_scientific(number) for number in (7.14e10, 0.004, 1.0)] == ["7.1e10", "4.0e-3", "1.0e0"]
