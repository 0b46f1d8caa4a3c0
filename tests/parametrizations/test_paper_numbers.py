"""Learning rates and multipliers at the five depths of arXiv 2507.06607, as a configuration gives them.

The literals are the paper's rules worked out by hand to the digits shown: η = 4e-4 · √(16/d), and · 16/d for matrices.
"""

from functools import cache
from math import sqrt

import pytest

from archscale.compose import load_spec
from archscale.parametrizations import of_run
from archscale.spec import RunSpec

DEPTHS = [8, 12, 16, 20, 24]
PAPER = ["scale=paper", "optim=paper"]
GLOBAL = {
    "sp": [4e-4] * 5,
    "mup": [4e-4] * 5,
    "mup_pp": [5.657e-4, 4.619e-4, 4.000e-4, 3.578e-4, 3.266e-4],
}
HIDDEN = {
    "sp": [4e-4] * 5,
    "mup": [8.000e-4, 5.333e-4, 4.000e-4, 3.200e-4, 2.667e-4],
    "mup_pp": [1.131e-3, 6.158e-4, 4.000e-4, 2.862e-4, 2.177e-4],
}
LOGITS = {"sp": [1.0] * 5, "mup": [2, 1.3333, 1, 0.8, 0.66667], "mup_pp": [2, 1.3333, 1, 0.8, 0.66667]}
RESIDUAL = {"sp": [1.0] * 5, "mup": [1.0] * 5, "mup_pp": [0.25, 0.20412, 0.17678, 0.15811, 0.14434]}
EVERY = pytest.mark.parametrize("name", ["sp", "mup", "mup_pp"])
ARCHITECTURES = pytest.mark.parametrize("arch", ["transformer_pp", "sambay"])


@cache
def cell(name: str, depth: int, *more: str) -> RunSpec:
    return load_spec([*PAPER, f"parametrization={name}", f"scale.depth={depth}", *more])


def printed(value: float, digits: float) -> object:
    return pytest.approx(value, rel=digits)


@EVERY
@ARCHITECTURES
@pytest.mark.parametrize("tied", ["true", "false"])
def test_learning_rates_of_every_depth(name, arch, tied):
    for number, depth in enumerate(DEPTHS):
        spec = cell(name, depth, f"arch={arch}", f"arch.tie_embeddings={tied}")
        rules, at, base = of_run(spec)
        rates = {
            role: spec.optim.learning_rate * rules.rule(role, at, base).learning_rate_multiplier
            for role in ("embedding", "unembedding", "hidden", "vector")
        }
        assert rates["hidden"] == printed(HIDDEN[name][number], 5e-4), depth
        for role in ("embedding", "unembedding", "vector"):
            assert rates[role] == printed(GLOBAL[name][number], 5e-4), (depth, role)
        if name == "mup_pp":
            assert rates["hidden"] == pytest.approx(4e-4 * sqrt(16 / depth) * 16 / depth, rel=1e-12)
            assert rates["vector"] == pytest.approx(4e-4 * sqrt(16 / depth), rel=1e-12)


@EVERY
@ARCHITECTURES
def test_multipliers_of_every_depth(name, arch):
    for number, depth in enumerate(DEPTHS):
        rules, at, base = of_run(cell(name, depth, f"arch={arch}", "arch.tie_embeddings=true"))
        factors = rules.multipliers(at, base)
        assert factors.residual == printed(RESIDUAL[name][number], 3e-5), depth
        assert factors.logits == printed(LOGITS[name][number], 3e-5), depth
        assert factors.attention == 1.0


@EVERY
def test_four_times_the_batch_doubles_the_learning_rate(name):
    small, large = cell(name, 24), cell(name, 24, "scale.batch_tokens=8388608")
    assert large.optim.learning_rate == pytest.approx(2 * small.optim.learning_rate, rel=1e-12)
    assert large.optim.weight_decay == small.optim.weight_decay == 0.1


@EVERY
def test_the_base_cell_is_the_base_point(name):
    spec = cell(name, 16)
    rules, at, base = of_run(spec)
    assert spec.optim.learning_rate == 4e-4
    assert {rules.rule(role, at, base).learning_rate_multiplier for role in ("embedding", "hidden")} == {1.0}
    assert rules.multipliers(at, base).logits == 1.0


@pytest.mark.parametrize("depth", DEPTHS)
def test_the_ablation_that_scales_with_tokens_falls_with_the_depth_to_the_power_of_three_halves(depth):
    """Tokens grow as d³ under the paper's count, so (T0/T)^⅓ is d0/d; whole batches move it by less than 1e-5."""
    spec = cell("mup_pp_lr_scaling", depth)
    assert spec.optim.learning_rate == pytest.approx(4e-4 * (16 / depth) ** 1.5, rel=2e-5)
    assert spec.optim.learning_rate * spec.optim.weight_decay == pytest.approx(4e-4 * 0.1, rel=1e-12)
