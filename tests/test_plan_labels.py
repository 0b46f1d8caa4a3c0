"""What the rows of a plan are called, and that its tables fit a terminal."""

import pytest

from archscale.plan import plan, plan_tables
from archscale.plan.labels import row_labels
from archscale.study import Study, expand, load_study, study_names

FAST = ("scale.tokens=65536", "scale.tokens_per_param=null")


def labels(**sections) -> tuple[str, list[str]]:
    return row_labels(expand(Study(name="s", overrides=FAST, **sections)))


def test_rows_of_different_shapes_are_called_by_their_architecture():
    heading, rows = labels(product={"arch": ["transformer_pp", "sambay"], "scale.depth": [8, 12]})
    assert heading == "arch"
    assert rows == [*["transformer_pp"] * 2, *["sambay"] * 2]


def test_what_sets_rows_of_one_shape_apart_is_added():
    heading, rows = labels(product={"arch": ["transformer_pp", "sambay"], "seed": [0, 1]})
    assert heading == "arch seed"
    assert rows == ["transformer_pp 0", "transformer_pp 1", "sambay 0", "sambay 1"]


def test_one_key_that_tells_all_apart_is_enough_and_one_architecture_goes_without_saying():
    sections = {
        "product": {"scale.tokens": [65536, 131072]},
        "zip": {
            "parametrization": ["sp", "mup_pp", "mup_pp"],
            "parametrization.title": ["SP", "μP++", "μP++ with decay"],
            "parametrization.independent_weight_decay": [False, False, True],
        },
    }
    assert labels(**sections) == ("title", ["SP", "μP++", "μP++ with decay"] * 2)


def test_without_such_a_key_all_that_differ_are_named():
    product = {"parametrization": ["sp", "mup"], "scale.base.learning_rate": [1e-2, 2e-2]}
    heading, rows = labels(product=product)
    assert heading == "parametrization\nlearning_rate"
    assert rows == ["sp 0.01", "sp 0.02", "mup 0.01", "mup 0.02"]


@pytest.mark.parametrize("name", study_names())
def test_the_tables_of_every_packaged_study_fit_80_columns(name):
    planned = plan(load_study(name), ["cluster.peak_flops_per_second=1e15", "cluster.mfu=0.4"])
    for table in plan_tables(planned):
        assert max(map(len, str(table).splitlines())) <= 80, str(table)[:400]


def test_columns_without_a_text_are_left_out():
    """WSD saves FLOPs, and without a speed nothing is known of hours."""
    wsd = (*FAST, "optim=wsd", "optim.warmup_tokens=4096")
    planned = plan(Study(name="s", overrides=wsd, product={"scale.tokens": [65536, 131072]}))
    table = next(table for table in plan_tables(planned) if table.title == "what each run takes")
    assert table.headings == ("arch", "shape", "saved\nFLOPs")
