"""What the rows of a plan are called."""

from archscale.plan.labels import row_labels
from archscale.study import Study, expand

FAST = ("scale.tokens=65536", "scale.tokens_per_param=null")


def labels(**sections) -> list[str]:
    return row_labels(expand(Study(name="s", overrides=FAST, **sections)))


def test_rows_of_different_shapes_are_called_by_their_architecture():
    assert labels(product={"arch": ["transformer_pp", "sambay"], "scale.depth": [8, 12]}) == [
        *["transformer_pp"] * 2,
        *["sambay"] * 2,
    ]


def test_what_sets_rows_of_one_shape_apart_is_added():
    product = {"arch": ["transformer_pp", "sambay"], "seed": [0, 1]}
    assert labels(product=product) == [f"{arch} seed {seed}" for arch in product["arch"] for seed in (0, 1)]


def test_one_key_that_tells_all_apart_is_enough_and_one_architecture_goes_without_saying():
    sections = {
        "product": {"scale.tokens": [65536, 131072]},
        "zip": {
            "parametrization": ["sp", "mup_pp", "mup_pp"],
            "parametrization.title": ["SP", "μP++", "μP++ with decay"],
            "parametrization.independent_weight_decay": [False, False, True],
        },
    }
    assert labels(**sections) == ["SP", "μP++", "μP++ with decay"] * 2


def test_without_such_a_key_all_that_differ_are_named():
    product = {"parametrization": ["sp", "mup"], "scale.base.learning_rate": [1e-2, 2e-2]}
    expected = [f"{rules} learning_rate {rate}" for rules in ("sp", "mup") for rate in (0.01, 0.02)]
    assert labels(product=product) == expected
