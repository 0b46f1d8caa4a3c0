import pandas as pd
import pytest

from analysis.sources.filters import conditions_of, matching_rows, parse_conditions
from archscale.registry import UserError

FRAME = pd.DataFrame(
    {
        "series": ["a", "b", "c=d", "a"],
        "budget": [1e18, 1e19, 1e20, 1e21],
        "outlier": [True, False, False, True],
        "seed": [0, 1, 0, 1],
    }
)


@pytest.mark.parametrize(
    ("texts", "rows"),
    [
        ([], [0, 1, 2, 3]),
        (["series=a"], [0, 3]),
        (["series=a", "series=b"], [0, 1, 3]),
        (["series!=a"], [1, 2]),
        (["series = c=d"], [2]),
        (["budget<1e20"], [0, 1]),
        (["budget<=1e20", "budget>1e18"], [1, 2]),
        (["budget=1e20"], [2]),
        (["outlier=true"], [0, 3]),
        (["outlier=False", "seed=0"], [2]),
        (["seed=1.0"], [1, 3]),
    ],
)
def test_conditions_choose_rows(texts, rows):
    chosen = matching_rows(FRAME, parse_conditions(texts))
    assert list(FRAME.index[chosen]) == rows


def test_a_description_says_the_same_as_a_mapping():
    for where, texts in (
        ({"series": "a"}, ["series=a"]),
        ({"series": ["a", "b"], "outlier": False}, ["series=a", "series=b", "outlier=false"]),
        ({"budget": 1e20}, ["budget=1e20"]),
        (["budget<1e20"], ["budget<1e20"]),
    ):
        found, expected = (matching_rows(FRAME, c) for c in (conditions_of(where), parse_conditions(texts)))
        assert found.to_list() == expected.to_list()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("series", "write COLUMN=VALUE"),
        ("serie=a", "unknown column 'serie'. Did you mean 'series'?"),
        ("series=aa", "unknown value of column 'series' 'aa'"),
        ("budget<low", "compares with a number"),
        ("series<1", "column 'series' holds text"),
        ("budget>1e30", "no row of 4"),
    ],
)
def test_a_condition_that_cannot_be_meant_is_refused(text, words):
    with pytest.raises(UserError) as error:
        matching_rows(FRAME, parse_conditions([text]))
    assert words in str(error.value)
