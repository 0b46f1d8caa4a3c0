import math

import numpy as np
import pandas as pd
import pytest

from analysis.fit import fit
from analysis.holdout import hold_out, hold_out_largest
from analysis.intervals import f_limit
from archscale.registry import UserError
from tests.analysis.curves import X, curve, noisy
from tests.analysis.published_data import published

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


def test_every_scale_is_predicted_in_turn_and_the_hit_rate_counted():
    y = noisy(0)
    found = hold_out("power_offset", table(X, y), **COLUMNS, mode="each")["a"]
    assert [one.x for one in found.results] == X.tolist()
    for i, one in enumerate(found.results):
        rest = np.arange(6) != i
        assert one.predicted == pytest.approx(fit("power_offset", X[rest], y[rest]).predict(X[i])[0], rel=1e-12)
        assert one.relative_error == pytest.approx((one.predicted - y[i]) / y[i])
    assert found.hits == sum(one.inside for one in found.results)
    assert found.intervals == 6
    assert found.mean_relative_error == pytest.approx(np.mean([abs(one.relative_error) for one in found.results]))
    assert f"{found.hits} of 6 inside their prediction intervals" in found.sentence


def test_the_last_scales_are_predicted_together_from_those_below():
    y = noisy(0)
    found = hold_out("power_offset", table(X, y), **COLUMNS, mode="last:2")["a"]
    below = fit("power_offset", X[:4], y[:4])
    assert [one.predicted for one in found.results] == pytest.approx(below.predict(X[4:]).tolist(), rel=1e-12)
    assert "nothing can be predicted" in hold_out("power", table(X, y), **COLUMNS, mode="last:9")["a"].results[0].note


@pytest.mark.parametrize("mode", ["kind=eval", "compute>=20", "compute > 20"])
def test_rows_are_held_out_by_the_values_of_a_column(mode):
    rows = table(X, noisy(0)).assign(kind=np.where(X > 20, "eval", "train"))
    found = hold_out("power_offset", rows, **COLUMNS, mode=mode)["a"]
    assert [one.x for one in found.results] == X[4:].tolist()


def test_two_inputs_are_held_out_by_their_product_or_a_declared_size():
    rng = np.random.default_rng(1)
    N, D = 10 ** rng.uniform(0, 2, 16), 10 ** rng.uniform(0, 2, 16)
    y = 2 * N**-0.4 + 1.5 * D**-0.3 + 1.6 + 0.002 * rng.standard_normal(16)
    rows = pd.DataFrame({"N": N, "D": D, "loss": y, "kept": N})
    places = {"x": ["N", "D"], "y": "loss", "group": None}
    for size, order in ((None, N * D), ("kept", N)):
        last = int(np.argmax(order))
        (held,) = hold_out("chinchilla", rows, **places, size=size)[""].results
        assert held.inputs == (N[last], D[last])
        assert held.x == pytest.approx(order[last])
        rest = np.arange(16) != last
        without = fit("chinchilla", np.column_stack([N, D])[rest], y[rest])
        assert held.predicted == pytest.approx(without.predict([[N[last], D[last]]])[0], rel=1e-9)
        assert held.inside


def test_a_new_observation_under_logarithms_raises_the_fit_just_to_the_limit():
    y = noisy(0)
    (held,) = hold_out("power_offset", table(X, y), **COLUMNS, loss="log-ls")["a"].results
    without = fit("power_offset", X[:-1], y[:-1], loss="log-ls")
    limit = f_limit(without.objective, degrees_of_freedom=2, level=0.95, floor=0.0)
    for end in (held.interval.low, held.interval.high):
        added = fit("power_offset", X, np.append(y[:-1], end), loss="log-ls")
        assert added.objective == pytest.approx(limit, rel=1e-5)


def test_a_robust_hold_out_with_a_wide_delta_is_that_of_least_squares():
    x = np.geomspace(1, 64, 12)
    rows = table(x, noisy(0, x=x))
    plain, wide = (hold_out("power_offset", rows, **COLUMNS, loss=loss)["a"].results[0] for loss in ("ls", "huber:10"))
    assert wide.predicted == pytest.approx(plain.predicted, rel=1e-6)
    assert wide.interval.low == pytest.approx(plain.interval.low, rel=1e-5)


def test_the_olmo_ladder_predicts_its_target_as_published():
    ladder = published("olmo_ladder2024", "ladder_step1.csv")
    expected = published("olmo_ladder2024", "published_step1_c4_main.csv").iloc[0]
    found = hold_out(
        "chinchilla",
        ladder,
        x=["N", "D"],
        y="c4_en-validation_mean_last5",
        group=None,
        mode="mode=eval",
        loss="huber-log:1e-3",
    )[""]
    target = max(found.results, key=lambda one: one.x)
    assert target.actual == pytest.approx(expected["Actual"], rel=1e-6)
    assert target.predicted == pytest.approx(expected["Pred"], rel=1e-5)
    assert target.relative_error == pytest.approx(expected["Rel Error"], rel=1e-3)


def test_modes_that_are_not_known_are_named():
    rows = table(X, noisy(0)).assign(kind="train")
    for mode, message in (
        ("largst", "choose one of largest, each"),
        ("last:0", "say how many of the largest scales"),
        ("kinds=eval", "unknown column 'kinds'. Did you mean 'kind'"),
        ("kind=eval", "no row is held out; the values are train"),
        ("kind>2", "only numbers are compared by size"),
    ):
        with pytest.raises(UserError, match=message):
            hold_out("power_offset", rows, **COLUMNS, mode=mode)
