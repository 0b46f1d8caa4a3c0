import numpy as np
import pandas as pd
import pytest

from analysis.rule_choices import AnnealingRule, RateRule, Rules, SeedRule
from analysis.rules import apply_rules, refit_delta
from archscale.registry import UserError


def points(**columns: object) -> pd.DataFrame:
    return pd.DataFrame({"x": [1.0, 1, 2, 2, 4, 4], "loss": [9.0, 8, 7, 6, 5, 4]} | columns)


def apply(rules: Rules, frame: pd.DataFrame, **options: object):
    return apply_rules(rules, frame, x=("x",), y="loss", **options)


def test_no_rule_leaves_every_row_a_point():
    ruled = apply(Rules(), points())
    pd.testing.assert_frame_equal(ruled.points, points())
    assert (ruled.left_out, ruled.merged, Rules().active) == ((), {}, ())


def test_every_row_is_a_point_or_has_a_reason_or_is_in_a_mean():
    frame = points(seed=[0, 1] * 3, diverged=[True, *[False] * 5])
    ruled = apply(Rules(flagged=("diverged",), seeds=SeedRule(column="seed")), frame)
    assert ruled.reasons == {0: "flagged in column diverged"}
    assert ruled.points["loss"].to_list() == [8, 6.5, 4.5]
    assert ruled.merged == {2: 2, 4: 2}
    assert len(ruled.reasons) + sum(ruled.merged.get(row, 1) for row in ruled.points.index) == len(frame)


def test_the_highest_losses_are_dropped_in_each_group_whatever_the_order_of_rows():
    frame = points(group=["a", "b"] * 3)
    ruled = apply(Rules(drop_highest=1), frame, group="group")
    assert ruled.reasons.keys() == {0, 1}
    assert apply(Rules(drop_highest=2), frame).reasons.keys() == {0, 1}
    shuffled = frame.sample(frac=1, random_state=1)
    assert apply(Rules(drop_highest=2), shuffled).reasons.keys() == {0, 1}


def test_of_equal_losses_the_one_at_the_larger_x_is_dropped():
    frame = pd.DataFrame({"x": [2.0, 1.0, 3.0], "loss": [5.0, 5.0, 1.0]})
    assert apply(Rules(drop_highest=1), frame).reasons.keys() == {0}
    assert apply(Rules(drop_highest=1), frame[::-1]).reasons.keys() == {0}


def test_the_best_learning_rate_of_a_cell_is_that_of_the_lowest_mean():
    """At x = 1 one lucky seed of rate 0.2 is the lowest of all, but not in the mean."""
    frame = pd.DataFrame(
        {
            "x": [1.0] * 4 + [2.0] * 2,
            "rate": [0.1, 0.1, 0.2, 0.2, 0.1, 0.2],
            "seed": [0, 1, 0, 1, 0, 0],
            "loss": [3.0, 3.0, 2.5, 4.0, 2.0, 1.5],
        }
    )
    ruled = apply(Rules(learning_rate=RateRule(column="rate")), frame)
    assert ruled.points.index.to_list() == [0, 1, 5]
    assert set(ruled.reasons.values()) == {"another rate is better in its cell"}
    both = apply(Rules(learning_rate=RateRule(column="rate"), seeds=SeedRule(column="seed")), frame)
    assert both.points["loss"].to_list() == [3.0, 1.5]
    assert apply(Rules(learning_rate=RateRule(column="rate", take="all")), frame).reasons == {}


def test_a_rate_that_diverged_in_one_seed_is_not_the_best():
    frame = pd.DataFrame({"x": 1.0, "rate": [0.1, 0.1, 0.2, 0.2], "loss": [np.nan, 1.0, 3.0, 3.0]})
    assert apply(Rules(learning_rate=RateRule(column="rate")), frame).reasons.keys() == {0, 1}


def test_a_mean_over_seeds_with_a_missing_loss_is_missing():
    ruled = apply(Rules(seeds=SeedRule(column="seed")), points(seed=[0, 1] * 3, loss=[np.nan, 8, 7, 6, 5, 4]))
    assert ruled.points["loss"].isna().to_list() == [True, False, False]


def test_the_same_seed_twice_in_a_cell_is_refused():
    with pytest.raises(UserError, match=r"seed = 0 stands twice in one cell \(x = 1.0\)"):
        apply(Rules(seeds=SeedRule(column="seed")), points(seed=0))
    ruled = apply(Rules(seeds=SeedRule(column="seed", take="all")), points(seed=0))
    assert len(ruled.points) == 6


def test_unannealed_runs_never_mix_silently():
    frame = points(annealed=[True, False] * 3)
    with pytest.raises(UserError, match="3 rows are annealed and 3 are not"):
        apply(Rules(annealing=AnnealingRule(column="annealed")), frame)
    for take, rows in (("annealed", [0, 2, 4]), ("unannealed", [1, 3, 5]), ("mix", [0, 1, 2, 3, 4, 5])):
        ruled = apply(Rules(annealing=AnnealingRule(column="annealed", take=take)), frame)
        assert ruled.points.index.to_list() == rows
    alike = apply(Rules(annealing=AnnealingRule(column="annealed")), points(annealed="False"))
    assert len(alike.points) == 6


def test_residuals_far_from_a_robust_fit_are_left_out_in_each_group():
    """Of residuals ±1 the scaled deviation is 1.48; 5 of them reach to 7.4."""
    frame = points(group=["a"] * 3 + ["b"] * 3, residual=[1.0, -1.0, 7.5, 1.0, -1.0, 7.4])
    ruled = apply(Rules(residual_mads=5.0), frame, group="group", residuals=lambda rows: rows["residual"].to_numpy())
    assert ruled.reasons == {2: "more than 5 deviations from a robust first fit"}


def test_residuals_of_rounding_leave_every_row():
    frame = points(residual=[0, 0, 0, 0, 0, 1e-14])
    assert apply(Rules(residual_mads=5.0), frame, residuals=lambda rows: rows["residual"].to_numpy()).reasons == {}


def test_a_flag_that_is_neither_true_nor_false_is_refused():
    with pytest.raises(UserError, match="column 'bad' holds 'maybe' in 1 rows"):
        apply(Rules(flagged=("bad",)), points(bad=["true", "0", "False", "1", "true", "maybe"]))
    with pytest.raises(UserError, match=r"unknown column 'outlie'. Did you mean 'outlier'\?"):
        apply(Rules(flagged=("outlie",)), points(outlier=False))


def test_each_rule_can_be_undone_alone_and_says_how_the_fit_moves():
    frame = points(bad=[False] * 5 + [True])
    rules = Rules(flagged=("bad",), drop_highest=1)

    def fitted(chosen: Rules) -> dict[str, dict[str, float]]:
        return {"all": {"mean": float(apply(chosen, frame).points["loss"].mean())}}

    deltas = refit_delta(rules, fitted, apply(rules, frame).left_out)
    assert [(d.rule, d.rows, d.with_rule, d.without_rule) for d in deltas] == [
        ("flagged", 1, 6.5, 6.0),
        ("drop_highest", 1, 6.5, 7.0),
    ]
    assert [d.change for d in deltas] == [-0.5, 0.5]


def test_a_fit_that_is_impossible_without_a_rule_is_not_a_number():
    rules = Rules(drop_highest=1)

    def fitted(chosen: Rules) -> dict[str, dict[str, float]]:
        if not chosen.active:
            raise UserError("not without it")
        return {"all": {"b": 1.0}}

    (delta,) = refit_delta(rules, fitted, ())
    assert np.isnan(delta.without_rule)


def test_undoing_annealing_mixes_and_undoing_all_leaves_none():
    rules = Rules(annealing=AnnealingRule(column="annealed", take="annealed"), drop_highest=2)
    assert rules.without("annealing").annealing == AnnealingRule(column="annealed", take="mix")
    assert rules.without("drop_highest").active == ("annealing",)
    assert rules.without("drop_highest").drop_highest == 0
