"""The memory of SambaY-A: the heads of the full attention side by side, before its output projection."""

import torch
from torch import Tensor

from archscale.model.cache import Prompt
from tests.model.architectures import packaged, varied_model

LENGTH = 13


def test_the_memory_is_the_concatenated_heads_in_forward_prefill_and_step():
    model = varied_model(packaged("sambay_a"), **{"scale.num_heads": 4, "scale.num_kv_heads": 2})
    mixer = model.blocks[5].mixer
    assert mixer.place.writes == {"kv", "memory"}
    heads: list[Tensor] = []
    mixer.core.register_forward_hook(lambda _, inputs, output: heads.append(output))
    x = torch.randn(2, LENGTH, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(0))

    with torch.no_grad():
        forward: dict[str, Tensor] = {}
        output = mixer(x, forward, None)
        prompt = Prompt(torch.full((2,), LENGTH - 1), LENGTH - 1)
        prefill: dict[str, Tensor] = {}
        _, cache = mixer.prefill(x[:, :-1], prefill, prompt)
        step: dict[str, Tensor] = {}
        mixer.step(x[:, -1], step, cache, prompt.lengths_B)

    assert [tuple(o.shape) for o in heads] == [(2, LENGTH, 4 * 8), (2, LENGTH - 1, 4 * 8)]
    assert torch.equal(forward["memory"], heads[0])
    assert torch.equal(prefill["memory"], heads[1])
    torch.testing.assert_close(forward["memory"] @ mixer.output.weight.t(), output, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(torch.cat([prefill["memory"], step["memory"][:, None]], 1), forward["memory"])
