import math

import numpy as np
import pandas as pd
import pytest

from analysis.fit import fit
from analysis.holdout import hold_out_largest
from analysis.intervals import f_limit
from archscale.registry import UserError
from tests.analysis.curves import X, curve, noisy

COLUMNS = {"x": "compute", "y": "loss", "group": "arch"}


def table(x, y, name="a"):
    return pd.DataFrame({"compute": x, "loss": y, "arch": name})


def test_the_largest_scale_is_predicted_from_the_others_alone():
    y = noisy(0)
    held = hold_out_largest("power_offset", table(X, y), **COLUMNS)["a"]
    changed = hold_out_largest("power_offset", table(X, np.append(y[:-1], 1.0)), **COLUMNS)["a"]
    assert (held.x, held.actual) == (X[-1], y[-1])
    assert held.predicted == pytest.approx(fit("power_offset", X[:-1], y[:-1]).predict(X[-1])[0], rel=1e-12)
    assert held.error == pytest.approx(held.predicted - y[-1])
    assert (changed.predicted, changed.interval) == (held.predicted, held.interval)


def test_a_new_point_at_an_end_of_the_interval_raises_the_fit_just_to_the_limit():
    y = noisy(0)
    held = hold_out_largest("power_offset", table(X, y), **COLUMNS)["a"]
    without = fit("power_offset", X[:-1], y[:-1])
    limit = f_limit(without.sum_of_squares, degrees_of_freedom=2, level=0.95, floor=0.0)
    for end in (held.interval.low, held.interval.high):
        assert fit("power_offset", X, np.append(y[:-1], end)).sum_of_squares == pytest.approx(limit, rel=1e-8)


def test_two_runs_at_the_largest_scale_are_held_out_together_and_narrow_the_interval():
    x, y = np.append(X, X[-1]), np.append(noisy(0), 2.1)
    held = hold_out_largest("power_offset", table(x, y), **COLUMNS)["a"]
    alone = hold_out_largest("power_offset", table(X, noisy(0)), **COLUMNS)["a"]
    assert held.actual == pytest.approx((y[-2] + y[-1]) / 2)
    assert held.predicted == alone.predicted
    assert held.interval.high - held.interval.low < alone.interval.high - alone.interval.low
    without = fit("power_offset", X[:-1], y[:5])
    limit = f_limit(without.sum_of_squares, degrees_of_freedom=2, level=0.95, floor=0.0)
    # Two runs 2δ apart around the end: their own scatter adds 2δ² to the sum of squares.
    end, delta = held.interval.low, 1e-3
    pair = fit("power_offset", x, np.r_[y[:5], end - delta, end + delta])
    assert pair.sum_of_squares - 2 * delta**2 == pytest.approx(limit, rel=1e-8)


def test_prediction_intervals_contain_the_next_run_as_often_as_they_say():
    count, level = 200, 0.9
    runs = pd.concat([table(X, noisy(5000 + i), name=f"{i:03d}") for i in range(count)])
    held = hold_out_largest("power_offset", runs, **COLUMNS, level=level)
    rate = sum(h.inside for h in held.values()) / count
    assert abs(rate - level) < 3 * math.sqrt(level * (1 - level) / count)


def test_a_diverged_last_run_is_outside():
    held = hold_out_largest("power_offset", table(X, np.append(noisy(0)[:-1], 4.0)), **COLUMNS)["a"]
    assert held.inside is False
    assert "outside the 95 % prediction interval" in held.note


@pytest.mark.parametrize(
    ("points", "note"),
    [
        (4, "3 points determine 3 parameters exactly: no interval can be given"),
        (3, "2 points are left for 3 parameters: nothing can be predicted; at least 4 scales are needed"),
        (2, "1 point is left for 3 parameters"),
    ],
)
def test_too_few_scales_are_said_and_not_guessed(points, note):
    held = hold_out_largest("power_offset", table(X[:points], noisy(0)[:points]), **COLUMNS)["a"]
    assert note in held.note
    assert held.interval is None
    assert held.inside is None
    assert math.isnan(held.predicted) == (points < 4)


def test_exact_data_are_predicted_exactly():
    held = hold_out_largest("power_offset", table(X, curve(X)), **COLUMNS)["a"]
    assert held.inside
    assert abs(held.error) < 1e-10


def test_mistakes_are_named():
    with pytest.raises(UserError, match="unknown column 'arc'"):
        hold_out_largest("power", table(X, curve(X)), x="compute", y="loss", group="arc")
    with pytest.raises(UserError, match="level = 0"):
        hold_out_largest("power", table(X, curve(X)), **COLUMNS, level=0)
