import dataclasses
import subprocess
import sys

import pytest

from archscale.model.lm import LanguageModel
from archscale.model.stack import diagram, expand
from archscale.registry import UserError
from tests.model.architectures import architecture, layer, sambay, small_run, transformer_pp

READERS = ("rest", [layer("gmu"), layer("cross_attention")])


@pytest.mark.parametrize(
    ("arch", "depth", "letters"),
    [
        (transformer_pp(), 8, "F" * 8),
        (sambay(), 8, "MSMSM F GC"),
        (sambay(), 16, "MSMSMSMSM F GCGCGC"),
        (architecture(("rest", [layer("mamba")]), (1, [layer("attention")])), 8, "M" * 7 + "F"),
    ],
)
def test_patterns_of_the_paper(arch, depth, letters):
    assert diagram(expand(arch, depth)) == letters


@pytest.mark.parametrize(
    ("spans", "message"),
    [
        (
            [("half", [layer("mamba")] * 3), ("rest", [layer("mamba")])],
            r"span 0 \(span: half\) has 4 layers from layer 0",
        ),
        ([(3, [layer("mamba")]), ("rest", [layer("mamba")] * 2)], r"span 1 \(span: rest\) has 5 layers from layer 3"),
        ([("rest", [layer("mamba")])] * 2, r"more than one span is 'rest'"),
        ([(7, [layer("mamba")])], r"take 7 layers"),
        ([(9, [layer("mamba")]), ("rest", [layer("mamba")])], r"take 9 layers"),
        ([(8, [layer("mamba")]), ("rest", [layer("mamba")])], r"at least one left for 'rest'"),
        ([(2, [layer("mamba", "memory"), layer("attention")]), READERS], r"layer 3 \(cross_attention\) reads 'kv'"),
        ([READERS], r"layer 0 \(gmu\) reads 'memory'.*add 'write: memory' to an earlier attention, "),
        ([("rest", [layer("mamba", "memory")])], r"layer 1 \(mamba\) writes 'memory' again, after layer 0"),
        ([("rest", [layer("mamba", "kv")])], r"layer 0 \(mamba\) cannot write 'kv': it can write memory"),
        (
            [("rest", [dataclasses.replace(layer("attention"), mlp_write=("memory",))])],
            r"layer 1 \(attention\) writes 'memory' again, after layer 0",
        ),
        (
            [("rest", [dataclasses.replace(layer("mamba"), mlp_write=("kv",))])],
            r"layer 0 \(mamba\) cannot write 'kv': it can write memory, remove it from 'mlp_write'",
        ),
        ([("rest", [layer("window_attention", "kv")])], r"cannot write 'kv': it can write nothing"),
        ([(4, [layer("mamba")]), ("rest", [layer("mambo")])], r"layer 4: unknown mixer 'mambo'. Did you mean 'mamba'"),
    ],
)
def test_stacks_that_cannot_work_are_refused_by_name(spans, message):
    with pytest.raises(UserError, match=message):
        expand(architecture(*spans), 8)


def test_an_odd_depth_has_no_half():
    with pytest.raises(UserError, match="odd depth"):
        expand(sambay(), 9)


@pytest.mark.parametrize(
    ("arch", "message"),
    [
        (sambay(mixers={"mamba": {"expnad": 3}}), r"layer 0, mixer mamba: unknown key 'expnad'. Did you mean 'expand'"),
        (sambay(mixers={"mamba": {"expand": "two"}}), r"mixer mamba: expand = \"two\""),
        (sambay(mixers={"mamba": {"state_size": 0}}), r"state_size = 0: it must be at least 1"),
        (sambay(mixers={"window_attention": {"window": 0}}), r"layer 1, mixer window_attention: window = 0"),
        (sambay(mixers={"cross_attention": {"head_dim": 7}}), r"layer 7, mixer cross_attention: head_dim = 7"),
        (sambay(mixers={"attention": {"num_kv_heads": 3}}), r"num_heads = 2 is not divisible by num_kv_heads = 3"),
        (transformer_pp(mixers={"attention": {"head_dim": 5}}), r"head_dim = 5 is odd"),
        (architecture(("rest", [layer("gmu", size=3)]), (1, [layer("mamba")])), "reads 'memory'"),
        (sambay(mixers={"mambo": {"expand": 3}}), r"unknown mixer 'mambo'.*arch\.mixers"),
    ],
)
def test_bad_mixer_options_are_refused_by_name(arch, message):
    with pytest.raises(UserError, match=message) as caught:
        LanguageModel(small_run(arch))
    assert "\n" not in str(caught.value)


def test_options_of_a_layer_win_over_options_of_its_mixer():
    arch = architecture(
        (1, [layer("mamba", expand=3)]), ("rest", [layer("mamba")]), mixers={"mamba": {"expand": 4, "state_size": 5}}
    )
    first, second = list(LanguageModel(small_run(arch)).blocks)[:2]
    assert first.mixer.A_log_DN.shape == (3 * 16, 5)
    assert second.mixer.A_log_DN.shape == (4 * 16, 5)


def test_importing_the_stack_needs_no_torch():
    code = "import sys, archscale.model.stack, archscale.scaling.count; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "False"
