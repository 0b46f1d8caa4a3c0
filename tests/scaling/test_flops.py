"""Training FLOPs under every accounting, against closed forms and against each other."""

import dataclasses

import pytest

from archscale.registry import UserError
from archscale.scaling.flops import flops_per_token, six_nd, training_flops
from archscale.scaling.survey import survey
from archscale.spec import FlopsAccounting
from tests.model.architectures import architecture, layer, packaged, paper_scale, sambay, small_run, transformer_pp

A = FlopsAccounting
WIDTH, DEPTH, INNER, QUERY, KEY, VOCABULARY, LENGTH = 16, 8, 64, 16, 8, 61, 32


def transformer_run(**changes):
    """Two heads of 8, one key/value head, 32 tokens a sequence, 128 a batch, 10 steps."""
    return small_run(transformer_pp(), **changes)


@pytest.mark.parametrize("tied", [True, False])
def test_a_transformer_by_hand(tied):
    spec = transformer_run(**{"arch.tie_embeddings": tied})
    mixer, mlp = WIDTH * (QUERY + 2 * KEY) + QUERY * WIDTH, 3 * WIDTH * INNER
    norms = (2 * DEPTH + 1) * WIDTH
    embeddings = VOCABULARY * WIDTH * (1 if tied else 2)
    attention = DEPTH * 4 * QUERY * (LENGTH + 1) / 2
    non_embedding = DEPTH * (mixer + mlp) + norms
    forward = 2 * (DEPTH * (mixer + mlp) + VOCABULARY * WIDTH) + attention
    elementwise = DEPTH * INNER + 4 * norms + 2 * 2 * DEPTH * WIDTH + WIDTH
    assert training_flops(spec, 640) == training_flops(spec, 640, A.SIX_ND_NON_EMBEDDING)
    assert training_flops(spec, 640, A.SIX_ND_NON_EMBEDDING) == 6 * non_embedding * 640
    assert training_flops(spec, 640, A.SIX_ND_TOTAL) == 6 * (non_embedding + embeddings) * 640
    assert training_flops(spec, 640, A.SIX_ND_ATTENTION) == 6 * (non_embedding + embeddings) * 640 + 3 * attention * 640
    assert training_flops(spec, 640, A.MODULES) == 3 * (forward + elementwise) * 640


def test_attention_flops_follow_groups_windows_and_shared_keys():
    """A window of 6 in 32 tokens is seen in full by all but the first 5; shared keys cost products all the same."""
    heads = {"scale.num_heads": 4, "scale.num_kv_heads": 2}
    full, window = 4 * 32 * (LENGTH + 1) / 2, 4 * 32 * (6 * LENGTH - 15) / LENGTH
    expected = {
        "attention": DEPTH * full,
        "window_attention": DEPTH * window,
        "differential_attention": DEPTH * full * 1.5,
        "differential_window_attention": DEPTH * window * 1.5,
        "mamba": 0,
        "mamba2": 0,
        "gated_deltanet": 0,
    }
    for name, flops in expected.items():
        spec = small_run(architecture(("rest", [layer(name)])), **heads)
        assert surveyed(spec).attention == pytest.approx(flops)
        for groups in (1, 4) if "differential" not in name else (4,):
            grouped = dataclasses.replace(spec, scale=dataclasses.replace(spec.scale, num_kv_heads=groups))
            assert surveyed(grouped).attention == pytest.approx(flops)
    shared = small_run(sambay(), **heads)
    assert surveyed(shared).attention == pytest.approx(2 * window + 2 * full)


def surveyed(spec):
    return survey(spec.arch, spec.scale, spec.data.vocab_size, spec.data.sequence_length)


@pytest.mark.parametrize("name", ["transformer_pp", "sambay", "sambay_da", "sambay_2", "gdny"])
def test_accountings_are_ordered_and_near_at_the_size_of_the_paper(name):
    arch = packaged(name, window=128)
    scale = paper_scale(arch, 16)
    per_token = {a: flops_per_token(a, arch, scale, 32_000, 4096) for a in A if a is not A.TRANSFORMER_AXIS}
    assert per_token[A.SIX_ND_NON_EMBEDDING] < per_token[A.SIX_ND_TOTAL] < per_token[A.SIX_ND_ATTENTION]
    # What the 6 N of attention leaves out: gates, norms and recurrences, of which those of Gated DeltaNet are largest.
    assert 1 < per_token[A.MODULES] / per_token[A.SIX_ND_ATTENTION] < 1.04


def test_the_paper_counts_transformer_pp_at_one_billion():
    """6 N T of Transformer++ at d 16: 973.1M non-embedding parameters, 100B tokens."""
    arch = packaged("transformer_pp", window=128)
    found = 100e9 * flops_per_token(A.SIX_ND_NON_EMBEDDING, arch, paper_scale(arch, 16), 32_000, 4096)
    assert found == pytest.approx(6 * 973.1e6 * 100e9, rel=1e-4)
    assert six_nd(973.1e6, 100e9) == pytest.approx(5.8386e20)


def test_the_axis_is_that_of_the_rung_whatever_the_model():
    spec = transformer_run(flops_accounting="transformer_axis", axis_flops=5e12)
    assert spec.tokens == 1280
    assert training_flops(spec, 1280) == 5e12
    assert training_flops(spec, 320) == 1.25e12
    wide = dataclasses.replace(spec, scale=dataclasses.replace(spec.scale, width=64))
    assert training_flops(wide, 1280) == 5e12


def test_an_axis_that_was_not_planned_is_refused():
    with pytest.raises(UserError, match="flops_accounting = transformer_axis needs .* plan it with flops_accounting="):
        training_flops(transformer_run(), 1280, A.TRANSFORMER_AXIS)
    with pytest.raises(ValueError, match="another model"):
        flops_per_token(A.TRANSFORMER_AXIS, transformer_pp(), transformer_run().scale, 61, 32)


def test_longer_sequences_cost_more_where_all_tokens_see_each_other_alone():
    for name, grows in (("transformer_pp", True), ("samba", False)):
        arch = packaged(name)
        scale = paper_scale(arch, 8)
        short, long = (survey(arch, scale, 61, length).forward for length in (1024, 4096))
        assert (long.mixer > 1.05 * short.mixer) == grows
        assert (long.mlp, long.norm, long.head) == (short.mlp, short.norm, short.head)
