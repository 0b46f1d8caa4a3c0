import pandas as pd

from archscale.plan import plan, recount, short_scientific
from archscale.study import Study, expand

FAST = ("scale.tokens=65536", "scale.tokens_per_param=null")


def test_a_report_counts_compute_as_its_command_says():
    cells = expand(Study(name="s", overrides=FAST, product={"seed": [0, 1]}), ["flops_accounting=6nd_total"])
    runs = pd.DataFrame(
        {
            "run_id": [cell.run_id for cell in cells],
            "tokens": [65536, 2048],
            "compute": [1.0, 1.0],
            "flops_accounting": "6nd_non_embedding",
        }
    )
    counted, planned = recount(runs, cells), plan(cells)
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


def test_numbers_are_short():
    assert [short_scientific(number) for number in (7.14e10, 0.004, 1.0)] == ["7.1e10", "4.0e-3", "1.0e0"]
