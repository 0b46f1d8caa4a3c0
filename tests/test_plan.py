import json
from collections import Counter

import pandas as pd
import pytest

from archscale.compose import compose_groups, composer
from archscale.plan import cells as plan_cells
from archscale.plan import (
    matching,
    plan,
    plan_json,
    plan_table,
    plan_tables,
    recount,
    setting_of,
    short_scientific,
)
from archscale.registry import UserError
from archscale.scaling import count, survey
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
    headings = plan_table(plan(TWO)).headings
    assert "mis-\nmatch" not in headings
    solved = plan_table(plan(TWO, ["scale.match_arch=transformer_pp"]))
    assert [heading for heading in solved.headings if heading not in headings] == ["mis-\nmatch"]
    assert [row[4] for row in solved.rows[:2]] == ["+0.00%", "+0.00%"]


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


REQUIRED = [
    "arch",
    "depth",
    "width",
    "parameters",
    "non_embedding_parameters",
    "tokens",
    "batch_tokens",
    "steps",
    "learning_rate",
    "hidden_learning_rate",
    "flops",
    "flops_accounting",
    "paper_parameters",
    "paper_tokens",
    "module_tokens",
    "warmup_steps",
    "weight_decay",
    "memory_bytes",
    "device_hours",
    "cost",
    "cost_basis",
    "saved_flops",
]
PAPER = ("scale=paper", "optim=paper", "data=slimpajama")


def test_the_plan_of_the_papers_figure_has_what_scripts_need():
    study = Study(name="s", overrides=PAPER, product={"arch": ["transformer_pp", "sambay"], "scale.depth": [8, 16, 24]})
    cells = plan_json(plan(study))["cells"]
    json.dumps(cells, allow_nan=False)
    for cell in cells:
        assert set(REQUIRED) <= set(cell)
        kinds = sum(cell[f"{kind}_parameters"] for kind in ("mixer", "mlp", "norm"))
        assert kinds == cell["non_embedding_parameters"]
        assert kinds + cell["embedding_parameters"] + cell["head_parameters"] == cell["parameters"]
        assert cell["memory_bytes"] == cell["memory"]["peak"] > cell["memory"]["parameters"] == 4 * cell["parameters"]
        assert abs(cell["tokens"] - cell["paper_tokens"]) <= cell["batch_tokens"] / 2
    sambay = {cell["depth"]: cell for cell in cells if cell["arch"] == "sambay"}
    assert [round(sambay[depth]["paper_tokens"] / 1e9, 1) for depth in (8, 16, 24)] == [12.7, 101.4, 342.1]
    assert [round(sambay[depth]["module_tokens"] / 1e9, 1) for depth in (8, 16, 24)] == [13.0, 103.0, 346.2]


def test_tokens_that_are_given_are_the_same_by_every_count():
    for run in plan(TWO).runs:
        assert run.paper_tokens == run.module_tokens == run.tokens == 65536


def test_an_architecture_without_nominal_counts_is_planned_by_its_modules(monkeypatch):
    from archscale.model.mixers import MIXERS
    from archscale.model.mixers.base import Mixer

    monkeypatch.setattr(MIXERS["attention"], "nominal_weights", classmethod(Mixer.nominal_weights.__func__))
    (run,) = plan(Study(name="s")).runs
    assert run.paper_parameters is run.paper_tokens is None
    assert run.module_tokens == pytest.approx(run.tokens, abs=run.batch_tokens)
    with pytest.raises(UserError, match="scale.token_count=modules"):
        plan(Study(name="s", overrides=("scale.token_count=paper",)))


def test_a_mixer_that_does_not_say_what_it_keeps_is_planned_without_its_memory(monkeypatch):
    from archscale.model.mixers import MIXERS
    from archscale.model.mixers.base import Mixer

    monkeypatch.setattr(MIXERS["mamba"], "kept_bytes", Mixer.kept_bytes)
    product = {"arch": ["sambay", "transformer_pp"], "seed": [0, 1]}
    planned = plan(Study(name="s", overrides=FAST, product=product))
    silent, weighed = planned.runs[:2], planned.runs[2:]
    assert all(run.memory_bytes is run.memory is None for run in silent)
    assert all(run.memory_bytes for run in weighed)
    (note,) = [note for note in planned.notes if "memory" in note]
    assert note.startswith("The memory of sambay is unknown: mixer Mamba does not say")
    _, counts, *_ = plan_tables(planned)
    assert [row[-1] == "unknown" for row in counts.rows] == [True, True, False, False]
    json.dumps(plan_json(planned), allow_nan=False)


@pytest.mark.parametrize(("warmup_tokens", "noted"), [(0, False), (100, True), (2048, False)])
def test_a_warm_up_that_rounds_to_no_step_is_noted(warmup_tokens, noted):
    given = (*FAST, "optim=wsd", f"optim.warmup_tokens={warmup_tokens}")
    planned = plan(Study(name="s", overrides=given))
    assert (planned.runs[0].warmup_steps > 0) == (warmup_tokens == 2048)
    notes = [note for note in planned.notes if "do not warm up" in note]
    assert len(notes) == noted
    assert all("1 runs" in note and "set optim.warmup_tokens to at least a batch" in note for note in notes)


def test_totals_are_of_each_architecture_and_of_all():
    planned = plan(TWO, ["cluster.peak_flops_per_second=1e12", "cluster.mfu=0.5", "cluster.device_hour_price=2"])
    first, second, whole = plan_json(planned)["totals"]
    assert [row["arch"] for row in (first, second, whole)] == ["transformer_pp", "sambay", "all"]
    for key in ("runs", "tokens", "flops", "device_hours", "cost"):
        assert whole[key] == pytest.approx(first[key] + second[key])
    assert first["flops"] == sum(run.flops for run in planned.runs if run.arch == "transformer_pp")
    assert whole["cost"] == pytest.approx(2 * whole["device_hours"])


def test_every_table_fits_80_columns_at_the_papers_sizes():
    price = ["cluster.peak_flops_per_second=312e12", "cluster.mfu=0.4", "cluster.device_hour_price=2"]
    product = {"arch": ["transformer_pp", "phi4_mini_flash"], "scale.depth": [8, 24]}
    planned = plan(Study(name="s", overrides=(*PAPER, "arch.window=128"), product=product), price)
    lines = "\n".join(map(str, plan_tables(planned))).splitlines()
    assert max(map(len, lines)) <= 80
    assert sum("d24 w3072" in line for line in lines) == 3


def test_a_study_composes_and_counts_each_choice_once(monkeypatch):
    """300 cells of two architectures, three depths and fifty seeds."""
    calls = Counter()

    def counting(module, name):
        original = getattr(module, name)

        def counted(*args, **kwargs):
            calls[name] += 1
            return original(*args, **kwargs)

        monkeypatch.setattr(module, name, counted)

    compose_groups.cache_clear()
    counting(composer, "_validated")
    counting(count, "_distinct_layers")
    counting(plan_cells, "training_memory")
    monkeypatch.setattr(count, "_COUNTS", count.Remembered())
    monkeypatch.setattr(count, "_LAYERS", {})
    monkeypatch.setattr(survey, "_SURVEYS", count.Remembered())
    product = {"scale.depth": [8, 12, 16], "arch": ["transformer_pp", "sambay"], "seed": list(range(50))}
    assert len(plan(Study(name="s", overrides=(*PAPER,), product=product)).runs) == 300
    assert compose_groups.cache_info().misses <= 3  # of the two architectures, and of the base point's alone
    # A shape is built once, and once more for the base point of the tokens that its modules would give.
    assert calls["_distinct_layers"] <= 7
    assert calls["training_memory"] == 6
    # Three depths and fifty seeds for each architecture's choice of groups, and every other section once for each.
    assert calls["_validated"] <= 2 * (3 + 50) + 3 * 12
