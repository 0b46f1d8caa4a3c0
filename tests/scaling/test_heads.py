"""Heads that follow from the architecture and the depth."""

from dataclasses import replace

import pytest

from archscale.compose import load_config, load_spec
from archscale.registry import UserError
from archscale.scaling.heads import heads_of

FREE = ["scale.num_heads=null", "scale.num_kv_heads=null", "scale.tokens=65536", "scale.tokens_per_param=null"]


def of(arch: str, depth: int, **changes):
    given = {name: changes.pop(name) for name in ("num_heads", "num_kv_heads") if name in changes}
    return heads_of(replace(load_config([f"arch={arch}"]).arch, **changes), depth, **given)


@pytest.mark.parametrize("depth", [8, 12, 16, 20, 24])
def test_query_heads_are_the_depth_and_key_value_heads_a_quarter(depth):
    heads = of("sambay", depth)
    assert (heads.query, heads.key_value, heads.note) == (depth, depth // 4, "")


@pytest.mark.parametrize(("depth", "query"), [(8, 12), (12, 16), (16, 20), (32, 40)])
def test_other_ratios_of_heads_go_to_the_nearest_multiple_of_four_and_ties_up(depth, query):
    heads = of("transformer_pp", depth, heads_per_layer=1.25, head_group=2)
    assert (heads.query, heads.key_value) == (query, query // 2)


def test_a_ratio_never_leaves_no_head():
    assert of("transformer_pp", 8, heads_per_layer=0.1).query == 4


@pytest.mark.parametrize(("depth", "key_value"), [(8, 2), (12, 4), (16, 4), (20, 4), (24, 6), (28, 4)])
def test_differential_attention_gets_the_nearest_even_divisor_of_its_query_heads(depth, key_value):
    # d/4 is odd at 12 (divisors 2 and 4 are equally near), 20 (4 is nearer than 10) and 28 (4 is nearer than 14).
    heads = of("sambay_da", depth)
    assert (heads.query, heads.key_value) == (depth, key_value)
    assert bool(heads.note) == (depth in (12, 20, 28))


@pytest.mark.parametrize("arch", ["sambay", "sambay_da"])
def test_very_many_heads_are_no_work(arch):
    heads = of(arch, 8, heads_per_layer=1e12)
    assert (heads.query, heads.key_value, heads.note) == (8 * 10**12, 2 * 10**12, "")


def test_the_note_says_what_was_changed_and_why():
    assert of("sambay_da", 12).note == (
        "sambay_da at depth 12: 4 key/value heads instead of 3, differential window attention needs an even number"
    )


def test_a_given_number_of_heads_is_taken_as_it_is():
    heads = of("sambay_da", 12, num_kv_heads=3)
    assert (heads.key_value, heads.note) == (3, "")
    with pytest.raises(UserError, match="num_kv_heads = 3"):
        load_spec(["arch=sambay_da", "scale.depth=12", "scale.num_heads=null", "scale.num_kv_heads=3"])


def test_query_heads_without_an_even_divisor_keep_the_default_which_the_mixer_refuses():
    assert of("sambay_da", 12, num_heads=5).key_value == 1
    with pytest.raises(UserError, match="num_heads = 5"):
        load_spec(["arch=sambay_da", "scale.num_heads=5", "scale.num_kv_heads=null"])


@pytest.mark.parametrize("arch", ["transformer_pp", "sambay_da", "phi4_mini_flash"])
def test_the_default_heads_build_a_model_at_every_depth(arch):
    for depth in (8, 12, 16, 20, 24):
        spec = load_spec([f"arch={arch}", "arch.window=32", f"scale.depth={depth}", *FREE])
        assert spec.scale.num_heads % spec.scale.num_kv_heads == 0
