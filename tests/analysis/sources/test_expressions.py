import math

import numpy as np
import pandas as pd
import pytest

from analysis.sources.expressions import derive, numbers
from archscale.registry import UserError

FRAME = pd.DataFrame(
    {"N": [1e8, 2e8], "FLOP": [6e18, 2.4e19], "Model Size": [3.0, 4.0], "config.lr": [0.1, 0.2], "name": ["a", "b"]}
)


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("FLOP / (6 * N)", [6e18 / 6e8, 2.4e19 / 1.2e9]),
        ("-N + 2 ** 3 - 1", [7 - 1e8, 7 - 2e8]),
        ("log(exp(sqrt(`Model Size`)))", [math.sqrt(3), 2.0]),
        ("config.lr * 10", [1.0, 2.0]),
        ("2", [2.0, 2.0]),
        ("1 / 4", [0.25, 0.25]),
        ("2 ** 3 ** 2 / 2 / 2", [128.0, 128.0]),
    ],
)
def test_arithmetic_is_that_of_python(expression, expected):
    np.testing.assert_allclose(derive(FRAME, "new", expression), expected, rtol=1e-15)


@pytest.mark.parametrize(
    "expression",
    [
        "__import__('os').system('true')",
        "open(N)",
        "N.__class__",
        "[N for _ in N]",
        "(lambda: N)()",
        "N if N else N",
        "N == 1",
        "N and 1",
        "N[0]",
        "N // 2",
        "N % 2",
        "'text'",
        "True",
        "1j",
        "log(N, 10)",
        "log",
        "N; N",
        "N :=",
        "",
        "(" * 300,
        "N + " * 200 + "N",
        "exp(*N)",
    ],
)
def test_anything_else_is_refused_in_one_line(expression):
    with pytest.raises(UserError) as error:
        derive(FRAME, "new", expression)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 400


def test_a_tower_of_powers_ends_at_infinity_at_once():
    assert np.isinf(derive(FRAME, "new", "9 ** 9 ** 9 ** 9")).all()


def test_what_is_undefined_is_nan_or_infinite_for_the_fit_to_refuse():
    assert np.isnan(derive(FRAME, "new", "log(0 - N)")).all()
    assert np.isinf(derive(FRAME, "new", "1 / (N - N)")).all()


def test_names_are_checked():
    with pytest.raises(UserError, match=r"unknown column 'FLOPS'. Did you mean 'FLOP'\?"):
        derive(FRAME, "D", "FLOPS / N")
    with pytest.raises(UserError, match="has a column 'N' already"):
        derive(FRAME, "N", "N * 1")
    with pytest.raises(UserError, match="column 'name' holds text, e.g. 'a' in row 1"):
        derive(FRAME, "D", "name * 2")


def test_a_missing_number_is_no_text():
    column = numbers(pd.Series(["1.5", "NaN", None, ""], name="loss"), "here")
    assert column[0] == 1.5
    assert column[1:].isna().all()
    with pytest.raises(UserError, match=r"here: column 'loss' holds text, e.g. '1,5' in row 2"):
        numbers(pd.Series(["1.5", "1,5"], name="loss"), "here")
