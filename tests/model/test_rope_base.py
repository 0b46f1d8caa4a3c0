"""Every place that turns queries or keys takes the architecture's own rotary base, not the default."""

import pytest
import torch
from torch import Tensor

from tests.model.architectures import packaged, varied_model

HEADS = {"scale.num_heads": 4, "scale.num_kv_heads": 2}
BASE = 640.0


def random_tokens(*shape: int) -> Tensor:
    return torch.randint(0, 61, shape, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", ["transformer_pp", "swa_yoco"])
def test_prefill_and_steps_equal_one_forward_at_another_base(name):
    model, tokens = varied_model(packaged(name, rope_base=BASE), **HEADS), random_tokens(2, 24)
    with torch.no_grad():
        expected = model(tokens)
        usual = varied_model(packaged(name), **HEADS)(tokens)
    assert (expected - usual).abs().max() > 1e-6
    cache, logits = model.prefill(tokens[:, :17])
    for position in range(17, 24):
        torch.testing.assert_close(logits, expected[:, position - 1], rtol=1e-9, atol=1e-11)
        logits = model.step(tokens[:, position], cache)
    torch.testing.assert_close(logits, expected[:, 23], rtol=1e-9, atol=1e-11)


def test_the_readers_queries_turn_at_the_base_of_the_writers_keys():
    """With the writer's weights the reader is the writer, at every position and so at one base."""
    model = varied_model(packaged("swa_yoco", rope_base=BASE), **HEADS)
    writer, reader, shared = model.blocks[5].mixer, model.blocks[6].mixer, {}
    with torch.no_grad():
        reader.query.weight.copy_(writer.query_key_value.weight[:32])
        reader.output.weight.copy_(writer.output.weight)
    x = torch.randn(2, 24, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    expected = writer(x, shared, None)
    torch.testing.assert_close(reader(x, shared, None), expected, rtol=1e-11, atol=1e-12)
