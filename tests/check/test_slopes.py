import math

import pytest

from archscale.check.coordinates import Check
from archscale.check.probe import BY_HEAD, BY_STREAM, LOGITS, STREAM, Probe
from archscale.check.slopes import Part, Quantity, parts, quantities, slope

LADDER = (8, 16, 64)


def ladder_of(**powers: float) -> list[list[Probe]]:
    """Two seeds, a factor of 9 apart, of quantities that are exact powers along the ladder."""

    def sizes(rung: int, seed: int) -> dict[str, float]:
        return {name: 9.0**seed * rung**power for name, power in powers.items()}

    return [
        [
            Probe(
                sizes=({}, sizes(rung, seed)),
                changes=(sizes(rung, seed),),
                parts={"mamba.A_log_DN": 0.5 * sizes(rung, seed)["mamba"]},
                factors={"mamba": 1.0, "diff": rung**-0.3},
            )
            for seed in (0, 1)
        ]
        for rung in LADDER
    ]


def check(*found: Quantity) -> Check:
    return Check(arch="a", parametrization="p", axis="width", ladder=LADDER, quantities=found, parts=(), tolerance=0.25)


def quantity(slope: float, **fields: object) -> Quantity:
    return Quantity(**{"name": STREAM, "measure": "size", "values": (1.0,) * 3, "slope": slope, **fields})


@pytest.mark.parametrize("power", [-1.0, 0.0, 0.5, 2.0])
def test_the_slope_of_a_power_is_its_exponent(power):
    assert slope(LADDER, [3 * size**power for size in LADDER]) == pytest.approx(power, abs=1e-12)


def test_what_diverged_has_an_infinite_slope_and_what_is_zero_none():
    assert slope(LADDER, [1.0, math.inf, 1.0]) == slope(LADDER, [1.0, math.nan, 1.0]) == math.inf
    assert math.isnan(slope(LADDER, [0.0, 1.0, 1.0]))


def test_quantities_are_geometric_means_over_seeds():
    found = {q.name: q for q in quantities("width", LADDER, ladder_of(mamba=0.5, **{STREAM: 0.0}))}
    assert found["mamba"].slope == pytest.approx(0.5)
    assert found["mamba"].values == pytest.approx([3 * size**0.5 for size in LADDER])
    assert found[STREAM].slope == pytest.approx(0)


@pytest.mark.parametrize(("axis", "counted"), [("width", BY_HEAD), ("depth", BY_STREAM)])
def test_of_the_logits_one_share_counts(axis, counted):
    found = quantities(axis, LADDER, ladder_of(mamba=0.0, **{LOGITS: 1.0, BY_HEAD: 1.0, BY_STREAM: 1.0}))
    assert {(q.name, q.measure) for q in found if q.counts} == {
        ("mamba", "size"), ("mamba", "change"), (counted, "change")
    }  # fmt: skip


def test_a_factor_of_the_layers_is_their_own_slope():
    found = {q.name: q for q in quantities("depth", LADDER, ladder_of(mamba=0.0, diff=-0.5))}
    assert found["diff"].own_slope == pytest.approx(-0.3)
    assert found["diff"].excess == pytest.approx(0.2)
    assert found["mamba"].own_slope == pytest.approx(0)


def test_the_verdict_is_that_of_the_furthest():
    assert check(quantity(0.1), quantity(-0.25)).flat
    assert not check(quantity(0.1), quantity(-0.26)).flat
    assert check(quantity(0.1), quantity(-0.26, counts=False)).flat
    assert check(quantity(-0.5, own_slope=-0.3)).flat
    assert not check(quantity(0.1, own_slope=-0.3)).flat
    assert not check(quantity(0.0), quantity(math.inf)).flat
    assert check(quantity(0.1), quantity(-0.2)).worst.slope == -0.2


def test_a_part_may_lie_anywhere_between_zero_and_the_slope_of_the_learning_rate():
    rates = [size**-0.5 for size in LADDER]
    (part,) = parts(LADDER, ladder_of(mamba=-0.2, **{LOGITS: 0.0}), rates)
    assert (part.slope, part.own_slope, part.share) == pytest.approx((-0.2, -0.5, 0.5))
    for found, excess in ((-0.2, 0.0), (-0.7, -0.2), (0.1, 0.1)):
        part = Part(name="mamba.A_log_DN", values=(), slope=found, own_slope=-0.5, share=1.0)
        assert part.excess == pytest.approx(excess)
