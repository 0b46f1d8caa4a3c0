"""What prefill and step spare, and what they keep."""

import dataclasses

import pytest
import torch

from archscale.model.lm import LanguageModel, ModelSpec
from archscale.registry import UserError
from tests.model.architectures import architecture, layer, packaged, paper_scale, small_model, varied_model

HEADS = {"scale.num_heads": 4, "scale.num_kv_heads": 2}
CROSS_DECODERS = ["swa_yoco", "samba_yoco", "sambay", "sambay_da", "sambay_aa", "sambay_mlp", "gdny"]


def inputs_of(model: LanguageModel, name: str, run) -> list[tuple[int, ...]]:
    """Shapes that go into every submodule whose name ends with `name`, in layer order."""
    shapes = []
    handles = [
        module.register_forward_pre_hook(lambda _, args: shapes.append(tuple(args[0].shape)))
        for path, module in model.named_modules()
        if path.endswith(name)
    ]
    run()
    for handle in handles:
        handle.remove()
    return shapes


@pytest.mark.parametrize("name", CROSS_DECODERS)
def test_prefill_runs_the_cross_decoder_on_the_last_token_only(name):
    model, tokens = small_model(packaged(name), **HEADS), torch.arange(40).view(2, 20)
    shapes = inputs_of(model, ".mlp", lambda: model.prefill(tokens))
    full_attention = 5
    assert shapes == [(2, 20, 16)] * full_attention + [(2, 16)] * (8 - full_attention)


def test_prefill_asks_queries_of_the_full_attention_for_the_last_token_only():
    model, tokens = small_model(packaged("sambay"), **HEADS), torch.arange(40).view(2, 20)
    shapes = inputs_of(model, "blocks.5.mixer.query_key_value", lambda: model.prefill(tokens))
    assert shapes == [(2, 1, 16)]
    assert inputs_of(model, "blocks.5.mixer.output", lambda: model.prefill(tokens)) == [(2, 32)]


def test_a_decoder_decoder_model_keeps_one_key_value_cache_and_its_states():
    model, tokens = small_model(packaged("sambay"), **HEADS), torch.arange(40).view(2, 20)
    cache, _ = model.prefill(tokens)
    kept = [None if layer is None else [tuple(t.shape) for t in layer.tensors()] for layer in cache.layers]
    mamba, window, full = [(2, 3, 32), (2, 32, 16)], [(2, 6, 2, 2, 8)], [(2, 20, 2, 2, 8)]
    assert kept == [mamba, window, mamba, window, mamba, full, None, None]
    assert cache.bytes() == 8 * 2 * (3 * (3 * 32 + 32 * 16) + 2 * 6 * 32 + 20 * 32)


def test_keys_and_values_of_the_released_model_take_5120_bytes_a_token_in_bfloat16():
    """arXiv 2507.06607, section 2: 20 heads of 64, keys and values, held once for all seven layers that read them."""
    arch = packaged("phi4_mini_flash")
    spec = ModelSpec(arch=arch, scale=paper_scale(arch, 32, head_dim=64), vocab_size=64)
    with torch.device("meta"):
        model = LanguageModel(spec)
    readers = [block.mixer for block in model.blocks if "kv" in block.mixer.reads]
    writers = [block.mixer for block in model.blocks if "kv" in block.mixer.place.writes]
    assert len(writers) == 1
    assert len(readers) == 7
    assert 2 * writers[0].shared_width("kv") == 5120


def test_a_step_costs_the_same_cache_however_long_the_window_has_been_full():
    arch = dataclasses.replace(packaged("samba"), window=4)
    model = small_model(arch, **HEADS)
    cache, _ = model.prefill(torch.arange(9).view(1, 9))
    before = cache.bytes()
    for token in range(20):
        model.step(torch.tensor([token]), cache)
    assert cache.bytes() == before


def test_a_full_cache_grows_in_whole_doublings():
    model = small_model(packaged("transformer_pp"), **HEADS)
    cache, _ = model.prefill(torch.arange(20).view(1, 20))
    sizes = set()
    for token in range(30):
        model.step(torch.tensor([token]), cache)
        sizes.add(cache.layers[0].kv_BS2GK.shape[1])
    assert sizes == {40, 80}


@pytest.mark.parametrize("lengths", [[0, 3], [4, 6], [-1, 2], [3], [1, 2, 3]])
def test_impossible_prompt_lengths_are_refused(lengths):
    model = small_model(packaged("transformer_pp"), **HEADS)
    with pytest.raises(UserError, match=r"prompt lengths .* of 2 rows of 5 positions"):
        model.prefill(torch.zeros(2, 5, dtype=torch.long), torch.tensor(lengths))


def test_an_empty_prompt_is_refused():
    model = small_model(packaged("transformer_pp"), **HEADS)
    with pytest.raises(UserError, match=r"shape \(2, 0\): give \(B, T\) token ids"):
        model.prefill(torch.zeros(2, 0, dtype=torch.long))


@pytest.mark.parametrize("mixer", ["mamba", "mamba2", "gated_deltanet"])
def test_the_last_token_enters_a_recurrent_state_once_where_no_attention_follows(mixer):
    """Prefill absorbs all but the last token into the last layer that looks back, then steps that layer."""
    model = varied_model(architecture(("rest", [layer(mixer)])), **HEADS)
    tokens, lengths = torch.arange(33).view(3, 11), [1, 11, 6]
    with torch.no_grad():
        expected = model(tokens)
    cache, logits = model.prefill(tokens, torch.tensor(lengths))
    rows, position_B = torch.arange(3), torch.tensor(lengths) - 1
    torch.testing.assert_close(logits, expected[rows, position_B], rtol=1e-9, atol=1e-11)
    more = torch.arange(40, 52).view(3, 4)
    stepped = torch.stack([model.step(more[:, t], cache) for t in range(4)], 1)
    for row, length in enumerate(lengths):
        with torch.no_grad():
            alone = model(torch.cat([tokens[row, :length], more[row]])[None])[0, length:]
        torch.testing.assert_close(stepped[row], alone, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("positions", ["rope", "none"])
def test_a_prompt_may_be_shorter_than_the_convolution_and_the_window(positions):
    model = small_model(packaged("sambay", positions=positions), **HEADS)
    tokens = torch.arange(12).view(1, 12)
    with torch.no_grad():
        expected = model(tokens)
    cache, logits = model.prefill(tokens[:, :2])
    for position in range(2, 12):
        torch.testing.assert_close(logits, expected[:, position - 1], rtol=1e-9, atol=1e-11)
        logits = model.step(tokens[:, position], cache)
