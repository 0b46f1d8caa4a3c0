"""The rules of arXiv 2507.06607, section 3.1, against what the paper prints, and against each other."""

import math
from dataclasses import replace

import pytest

from archscale.compose import groups, load_config, load_spec, named_arch
from archscale.registry import UserError
from archscale.scaling.count import count_parameters
from archscale.scaling.ladder import counted
from archscale.scaling.nominal import nominal_count
from archscale.scaling.tokens import training_tokens
from archscale.spec import FlopsAccounting, RunSpec

DEPTHS = (8, 12, 16, 20, 24)
PAPER = ["scale=paper", "optim=paper", "data=slimpajama"]
# Billions of tokens as printed.
PRINTED = {
    "transformer_pp": (12.5, 42.2, 100, 195.3, 337.5),
    "sambay": (12.7, 42.8, 101.4, 198.0, 342.1),
    "samba_yoco": (12.7, 42.7, 101.2, 197.8, 341.7),
}


def rung(*overrides: str) -> RunSpec:
    return load_spec([*PAPER, *overrides])


def tokens(*overrides: str) -> float:
    config, spec = load_config([*PAPER, *overrides]), rung(*overrides)
    return training_tokens(config.scale, config.arch, spec.scale, spec.data.vocab_size, named_arch)


@pytest.mark.parametrize("arch", PRINTED)
def test_tokens_are_the_printed_ones(arch):
    found = [tokens(f"arch={arch}", f"scale.depth={depth}") for depth in DEPTHS]
    assert [round(number / 1e9, 1) for number in found] == list(PRINTED[arch])


@pytest.mark.parametrize("depth", DEPTHS)
def test_the_base_architecture_has_14_5_times_128_squared_times_the_cube_of_the_depth(depth):
    spec = rung(f"scale.depth={depth}")
    assert nominal_count(spec.arch, spec.scale) == 14.5 * 128**2 * depth**3
    assert spec.tokens == pytest.approx(100e9 * (depth / 16) ** 3, rel=1e-4)
    assert spec.scale.width == 128 * depth


def test_batches_steps_and_warm_up_of_the_paper():
    specs = [rung(f"scale.depth={depth}") for depth in DEPTHS]
    assert {spec.optim.batch_tokens for spec in specs} == {2**21}
    assert [spec.optim.steps for spec in specs] == [5960, 20117, 47684, 93132, 160933]
    assert {spec.optim.warmup_steps for spec in specs} == {round(1e9 / 2**21)} == {477}


@pytest.mark.parametrize(
    ("depth", "hidden", "vector"),
    [(8, 1.131e-3, 5.657e-4), (16, 4e-4, 4e-4), (24, 2.177e-4, 3.266e-4)],
)
def test_learning_rates_are_the_printed_ones(depth, hidden, vector):
    spec = rung(f"scale.depth={depth}")
    rate = spec.optim.learning_rate
    assert f"{rate:.3e}" == f"{vector:.3e}"
    assert f"{rate * spec.scale.base_width / spec.scale.width:.3e}" == f"{hidden:.3e}"


def test_the_count_of_the_modules_gives_other_tokens_and_the_same_ones_at_the_base_point():
    modules = "scale.token_count=modules"
    assert tokens("arch=transformer_pp", modules) == 100e9
    found = tokens("arch=sambay", modules)
    spec, base = rung("arch=sambay", modules), rung("arch=transformer_pp", modules)
    sizes = [count_parameters(one.arch, one.scale, one.data.vocab_size) for one in (spec, base)]
    assert found == 100e9 * sizes[0].non_embedding / sizes[1].non_embedding
    assert round(found / 1e9, 1) == 103.0  # 1002.3 M against 973.1 M
    total = tokens("arch=sambay", "scale.token_count=total")
    assert total == 100e9 * sizes[0].total / sizes[1].total


@pytest.mark.parametrize("count", ["modules", "paper", "total"])
def test_tokens_per_parameter_are_of_the_stated_count(count):
    given = ["arch=gdny", f"scale.token_count={count}", "scale.tokens_per_param=20"]
    spec = rung(*given)
    assert tokens(*given) == 20 * counted(spec.arch, spec.scale, spec.data.vocab_size, count)


def test_every_architecture_has_a_nominal_count_near_that_of_its_modules():
    for arch in groups()["arch"]:
        spec = rung(f"arch={arch}", "scale.depth=32", "arch.window=128")
        found = count_parameters(spec.arch, spec.scale, spec.data.vocab_size).non_embedding
        assert nominal_count(spec.arch, spec.scale) == pytest.approx(found, rel=0.03), arch


def test_spans_of_a_fixed_number_stand_for_all_layers_where_nothing_else_does(monkeypatch):
    spec = rung("arch=transformer_pp", "scale.depth=8")
    (span,) = spec.arch.stack
    fixed = replace(spec.arch, stack=(replace(span, span=8),))
    halves = replace(spec.arch, stack=(replace(span, span="half"), replace(span, span=4)))
    expected = nominal_count(spec.arch, spec.scale)
    assert nominal_count(fixed, spec.scale) == nominal_count(halves, spec.scale) == expected


def test_the_batch_law_grows_with_the_root_of_the_tokens_in_whole_sequences():
    for factor in (1, 2, 4, 7):
        spec = rung("scale.batch_exponent=0.5", f"scale.tokens={factor}00e9")
        assert spec.optim.batch_tokens % 4096 == 0
        assert abs(spec.optim.batch_tokens - 2**21 * math.sqrt(factor)) <= 2048
        assert spec.optim.learning_rate == pytest.approx(4e-4 * math.sqrt(spec.optim.batch_tokens / 2**21), rel=1e-12)
        assert spec.tokens == pytest.approx(factor * 100e9, rel=1e-4)


def test_rates_and_weight_decay_follow_the_tokens_where_the_parametrization_says_so():
    spec = rung("parametrization=mup_pp_lr_scaling", "scale.tokens=800e9")
    assert spec.optim.learning_rate == pytest.approx(2e-4, rel=1e-12)  # (1/8)^⅓
    assert spec.optim.weight_decay == pytest.approx(0.2, rel=1e-12)
    base = rung("parametrization=mup_pp_lr_scaling")
    assert (base.optim.learning_rate, base.optim.weight_decay) == (4e-4, 0.1)


def test_target_flops_are_those_of_the_solved_width():
    tokens_rules = [["scale.tokens=50e9"], ["scale.tokens_per_param=20"], []]
    for given in tokens_rules:
        for arch in ("transformer_pp", "sambay"):
            spec = rung(f"arch={arch}", "scale.target_flops=1e21", "scale.token_count=modules", *given)
            count = count_parameters(spec.arch, spec.scale, spec.data.vocab_size).non_embedding
            assert 6 * count * spec.tokens == pytest.approx(1e21, rel=2e-3)
            assert spec.scale.depth == 16


def test_target_flops_of_a_given_size_decide_its_tokens():
    for given in (["scale.width=1024"], ["scale.target_params=3e8"], ["arch=sambay", "scale.match_arch=gdny"]):
        spec = rung("scale.target_flops=1e20", "scale.token_count=modules", *given)
        count = count_parameters(spec.arch, spec.scale, spec.data.vocab_size).non_embedding
        assert 6 * count * spec.tokens == pytest.approx(1e20, rel=1e-3)


@pytest.mark.parametrize("arch", ["transformer_pp", "sambay", "gdny"])
@pytest.mark.parametrize("target", [1e3, 1.5e8, 1e9, 3.4e9, 2e10])
def test_without_a_depth_it_is_the_rung_whose_own_size_is_nearest(arch, target):
    spec = rung(f"arch={arch}", "scale.depth=null", f"scale.target_params={max(target, 3e5)}")
    sizes = {}
    for depth in range(8, 56, 4):
        at = rung(f"arch={arch}", f"scale.depth={depth}")
        sizes[depth] = count_parameters(at.arch, at.scale, at.data.vocab_size).non_embedding
    assert spec.scale.depth == min(sizes, key=lambda depth: abs(sizes[depth] - target))
    found = count_parameters(spec.arch, spec.scale, spec.data.vocab_size).non_embedding
    assert found == pytest.approx(max(target, 3e5), rel=0.15 if target < 1e6 else 0.02)  # GDN has whole heads


def test_without_a_depth_target_flops_find_the_rung_of_the_ladder():
    for depth in DEPTHS:
        on_the_ladder = 6 * 237_568 * depth**3 * 100e9 * (depth / 16) ** 3
        spec = rung("scale.depth=null", f"scale.target_flops={on_the_ladder}")
        assert (spec.scale.depth, spec.scale.width) == (depth, 128 * depth)


AXIS = "flops_accounting=transformer_axis"


def test_the_axis_is_that_of_transformer_plus_plus_at_the_rung_whatever_the_architecture():
    for depth in (8, 16):
        specs = [rung(f"arch={arch}", f"scale.depth={depth}", AXIS) for arch in ("transformer_pp", "sambay", "gdny")]
        assert len({spec.axis_flops for spec in specs}) == 1
        peer = specs[0]
        assert peer.axis_flops == 6 * nominal_count(peer.arch, peer.scale) * peer.tokens
    assert rung().axis_flops is None


def test_the_axis_takes_its_own_width_and_the_count_of_the_tokens():
    own = rung("arch=transformer_pp", "scale.token_count=modules", AXIS)
    wide = rung("arch=sambay", "scale.width=999", "scale.token_count=modules", AXIS)
    count = count_parameters(own.arch, own.scale, own.data.vocab_size).non_embedding
    assert wide.axis_flops == own.axis_flops == 6 * count * own.tokens
    solved = rung("arch=sambay", "scale.depth=null", "scale.target_params=5e8", "scale.tokens=1e10", AXIS)
    assert solved.axis_flops == pytest.approx(6 * 5e8 * 1e10, rel=5e-3)
    assert solved.flops_accounting is FlopsAccounting.TRANSFORMER_AXIS


def test_a_run_takes_at_least_one_whole_batch():
    assert rung("scale.tokens=2097152").optim.steps == 1
    assert rung("scale.tokens=3e6").optim.steps == 1
    for share in (0.7, 0.999):
        with pytest.raises(UserError, match="less than one batch"):
            rung(f"scale.tokens={share * 2**21}")


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["scale.depth=-8"], ["scale.depth = -8"]),
        (["scale.depth=null"], ["scale.depth = null", "scale.target_params", "scale.target_flops"]),
        (["scale.depth=null", "scale.match_arch=sambay"], ["scale.depth = null"]),
        (["scale.tokens=1e6"], ["1e+06 training tokens", "scale.base.batch_tokens = 2097152", "raise scale.tokens"]),
        (["scale.tokens=1.5e6"], ["1.5e+06 training tokens", "less than one batch", "raise scale.tokens"]),
        (["scale.base.tokens=1e3"], ["less than one batch", "raise scale.base.tokens"]),
        (["scale.base.batch_tokens=5000"], ["scale.base.batch_tokens = 5000", "sequence_length = 4096", "e.g. 4096"]),
        (["scale.batch_tokens=5000"], ["scale.batch_tokens = 5000", "sequence_length = 4096", "e.g. 4096"]),
        (["scale.tokens=1e300"], ["scale.tokens = 1e+300", "1 … 1e18"]),
        (["scale.base.tokens=1e-300", "scale.batch_exponent=1.0"], ["scale.base.tokens = 1e-300", "1 … 1e18"]),
        (["scale.tokens_per_param=1e300"], ["1e18", "lower scale.tokens_per_param"]),
        (["scale.target_flops=1e300", "scale.width=512"], ["1e18", "lower scale.target_flops"]),
        (["scale.width_scale=1e-9"], ["scale.width_scale = 1e-09", "a width of 2.05e-06", "at depth 16"]),
        (["scale.width_scale=1e300"], ["scale.width_scale = 1e+300", "a width of 2.05e+303"]),
        (["scale.batch_exponent=1000"], ["scale.batch_exponent = 1000", "0 … 1"]),
        (["scale.batch_exponent=-0.1"], ["scale.batch_exponent = -0.1", "0 … 1"]),
        (["parametrization.token_exponent=1000"], ["parametrization.token_exponent = 1000", "0 … 1"]),
        (["optim.warmup_tokens=-1"], ["optim.warmup_tokens = -1", "must not be negative"]),
        (
            ["scale.base.arch=sambya"],
            ["unknown scale.base.arch 'sambya'. Did you mean", "archscale list arch"],
        ),
        (["scale=papr"], ["unknown scale 'papr'. Did you mean 'paper'"]),
        (["scale.base.depth=0"], ["scale.base.depth = 0", "positive"]),
        (["scale.base.tokens=-1"], ["scale.base.tokens = -1", "positive, or null"]),
        (["scale.base.tokens=null"], ["scale.tokens and scale.tokens_per_param are null", "scale.base.tokens"]),
        (["scale.target_flops=-1"], ["scale.target_flops = -1", "positive"]),
        (["scale.target_flops=1e9"], ["target_flops = 1e+09", "the nearest there is"]),
        (["scale.target_flops=1e40"], ["target_flops = 1e+40", "1e14"]),
        (
            ["scale.target_flops=1e20", "scale.width=512", "scale.tokens=1e10"],
            ["scale.target_flops = 1e+20", "scale.width = 512", "scale.tokens = 1e+10", "set one to null"],
        ),
        (["scale.batch_tokens=4096", "scale.batch_exponent=0.5"], ["batch_tokens = 4096", "batch_exponent = 0.5"]),
        (["scale.batch_exponent=0.5", "scale.base.tokens=null", "scale.tokens=1e10"], ["set scale.base.tokens"]),
        (
            ["parametrization=mup_pp_lr_scaling", "scale.base.tokens=null", "scale.tokens=1e10"],
            ["parametrization.token_exponent", "set scale.base.tokens"],
        ),
        (["scale.token_count=paperr"], ["scale.token_count", "'paper'"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_wish_that_cannot_be_met_is_one_line(overrides, words):
    with pytest.raises(UserError) as error:
        rung(*overrides)
    assert "\n" not in str(error.value)
    for word in words:
        assert word in str(error.value)
