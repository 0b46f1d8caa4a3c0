"""The factor on the scores of attention reaches every attention mixer, in training and in generation alike.

Scores are linear in the queries: a model with the factor m is one without whose query weights and biases are m times
as large.
"""

import pytest
import torch

from archscale.model.lm import LanguageModel
from archscale.model.mixers.attention import Attention, CrossAttention
from tests.model.architectures import packaged, varied_model

# Full, windowed, cross-, with rotary positions, with biases, differential.
ARCHITECTURES = ["transformer_ls", "swa_yoco", "sambay", "sambay_da", "phi4_mini_flash"]
HEADS = {"scale.num_heads": 4, "scale.num_kv_heads": 2}
# Heads of 8 against 2 at the base: (2/8)^(1 − ½).
INVERSE = {"parametrization.attention_exponent": 1.0, "parametrization.base_head_dim": 2.0}
FACTOR = 0.5


def with_larger_queries(model: LanguageModel, factor: float) -> LanguageModel:
    with torch.no_grad():
        for block in model.blocks:
            mixer = block.mixer
            if isinstance(mixer, Attention):
                mixer.query_key_value.weight[: mixer.config.num_heads * mixer.config.head_dim] *= factor
                if mixer.query_bias is not None:
                    mixer.query_bias *= factor
            elif isinstance(mixer, CrossAttention):
                mixer.query.weight.mul_(factor)
                if mixer.query.bias is not None:
                    mixer.query.bias.mul_(factor)
    return model


def tokens() -> torch.Tensor:
    return torch.randint(0, 61, (2, 23), generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("backend", ["auto", "reference"])
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_the_factor_is_one_on_the_queries(name, backend):
    changes = {**HEADS, "execution.backend": backend}
    scaled = varied_model(packaged(name), **changes, **INVERSE)
    plain = varied_model(packaged(name), **changes)
    with torch.no_grad():
        without = plain(tokens())
        expected = with_larger_queries(plain, FACTOR)(tokens())
        torch.testing.assert_close(scaled(tokens()), expected, rtol=1e-12, atol=1e-13)
    assert not torch.allclose(without, expected, rtol=1e-6)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_prefill_and_steps_have_the_factor_too(name):
    model, text = varied_model(packaged(name), **HEADS, **INVERSE), tokens()
    with torch.no_grad():
        expected = model(text)
    cache, logits = model.prefill(text[:, :9])
    torch.testing.assert_close(logits, expected[:, 8], rtol=1e-9, atol=1e-11)
    for position in range(9, 23):
        logits = model.step(text[:, position], cache)
        torch.testing.assert_close(logits, expected[:, position], rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("parametrization", ["sp", "mup", "mup_pp"])
def test_by_default_no_parametrization_has_a_factor(parametrization):
    model = varied_model(packaged("sambay_da"), **HEADS, **{"parametrization.name": parametrization})
    assert {block.mixer.place.score_factor for block in model.blocks} == {1.0}
