import pytest

from archscale.train.schedule import learning_rate_factor
from tests.support.specs import small_spec


def factors(schedule: str, steps: int, warmup: int, **changes: float) -> list[float]:
    settings = {"optim.schedule": schedule, "optim.steps": steps, "optim.warmup_steps": warmup}
    optim = small_spec(**settings, **{f"optim.{name}": value for name, value in changes.items()}).optim
    return [learning_rate_factor(optim, step) for step in range(steps)]


def test_wsd_is_warm_up_then_constant_then_linear_to_zero():
    """14 steps: 2 of warm-up, the last 4 = 2/7 decay; the step after the last would be at 0."""
    assert factors("wsd", 14, 2) == [0.5, 1.0, *[1.0] * 8, 1.0, 0.75, 0.5, 0.25]
    assert factors("wsd", 8, 0, decay_fraction=0.5) == [1.0] * 4 + [1.0, 0.75, 0.5, 0.25]


@pytest.mark.parametrize(
    ("steps", "warmup", "fraction", "start"),
    [
        (14, 2, 2 / 7, 10),
        (1000, 50, 2 / 7, 714),  # 285.7 steps of decay are 286
        (10, 9, 0.5, 9),  # the warm-up ends first
        (10, 0, 1.0, 0),
        (3, 0, 0.01, 2),  # at least one step
        (1, 0, 0.5, 0),
        (5, 5, 0.5, 5),  # nothing but warm-up
    ],
)
def test_where_the_decay_starts(steps, warmup, fraction, start):
    settings = {"optim.steps": steps, "optim.warmup_steps": warmup, "optim.decay_fraction": fraction}
    optim = small_spec(**{"optim.schedule": "wsd"}, **settings).optim
    assert optim.decay_start == start
    found = [learning_rate_factor(optim, step) for step in range(steps)]
    assert found[warmup:start] == [1.0] * (start - warmup)
    assert found[start:] == [1.0 - k / (steps - start) for k in range(steps - start)]
    assert found[:warmup] == [(k + 1) / warmup for k in range(warmup)]


def test_the_whole_run_as_decay_is_the_linear_schedule():
    assert factors("wsd", 30, 4, decay_fraction=1.0) == factors("linear", 30, 4)


def test_up_to_its_decay_a_wsd_run_is_the_constant_schedule_whatever_its_length():
    constant = factors("constant", 60, 5)
    for steps, fraction in [(20, 2 / 7), (40, 0.1), (60, 0.9)]:
        start = small_spec(
            **{
                "optim.schedule": "wsd",
                "optim.steps": steps,
                "optim.warmup_steps": 5,
                "optim.decay_fraction": fraction,
            }
        ).optim.decay_start
        found = factors("wsd", steps, 5, decay_fraction=fraction)
        assert found[: start + 1] == constant[: start + 1]
        assert found[start + 1] < 1.0
