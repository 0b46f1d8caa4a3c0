"""Properties that Mamba-2 and Gated DeltaNet share, on lengths that cross their chunks."""

import pytest
import torch
from torch import Tensor

from archscale.model.cache import Prompt
from archscale.ops.segments import Segments
from tests.model.recurrent_mixers import gated_deltanet_of, mamba2_of, random_input

KINDS = pytest.mark.parametrize("mixer_of", [mamba2_of, gated_deltanet_of])
EXACT = {"rtol": 1e-11, "atol": 1e-11}
# The delta rule solves a triangular system in every chunk.
CLOSE = {mamba2_of: EXACT, gated_deltanet_of: {"rtol": 1e-10, "atol": 1e-11}}


@KINDS
def test_only_the_named_layer_writes_the_memory(mixer_of):
    shared: dict[str, Tensor] = {}
    mixer_of()(random_input(5), shared, None)
    assert not shared


@KINDS
def test_a_changed_future_token_changes_nothing_before_it(mixer_of):
    mixer, x = mixer_of(), random_input(45)
    y = x.clone()
    y[:, 30:] += 1
    before, after = mixer(x, {}, None), mixer(y, {}, None)
    torch.testing.assert_close(before[:, :30], after[:, :30], rtol=0, atol=1e-12)
    assert not torch.allclose(before[:, 30:], after[:, 30:])


@KINDS
def test_packed_documents_equal_separate_ones_forward_and_backward(mixer_of):
    mixer, x = mixer_of(), random_input(44)
    parts = [slice(0, 1), slice(1, 38), slice(38, 44)]
    weight = torch.randn_like(x)

    def with_gradients(y: Tensor) -> list[Tensor]:
        return [y, *torch.autograd.grad((y * weight).sum(), list(mixer.parameters()))]

    together = with_gradients(mixer(x, {}, Segments.of_lengths([[1, 37, 6]] * 2)))
    apart = with_gradients(torch.cat([mixer(x[:, part], {}, None) for part in parts], 1))
    for a, b in zip(together, apart, strict=True):
        torch.testing.assert_close(a, b, **CLOSE[mixer_of])


@pytest.mark.parametrize("length", [1, 2, 18, 38])
@pytest.mark.parametrize(
    ("mixer_of", "options"),
    [
        (mamba2_of, {}),
        (mamba2_of, {"conv_size": 1}),
        (mamba2_of, {"norm": "before_gate"}),
        (gated_deltanet_of, {}),
        (gated_deltanet_of, {"conv_size": 1}),
        (gated_deltanet_of, {"norm": "before_gate", "value_ratio": 1}),
    ],
)
def test_prefill_and_steps_equal_one_forward(length, mixer_of, options):
    mixer, x, expected_shared = mixer_of(writes=("memory",), **options), random_input(42), {}
    expected = mixer(x, expected_shared, None)
    first, cache = mixer.prefill(x[:, :length], {}, Prompt(torch.full((2,), length), length))
    outputs, memory = [first], []
    for t in range(length, 42):
        shared: dict = {}
        outputs.append(mixer.step(x[:, t], shared, cache, torch.full((2,), t))[:, None])
        memory.append(shared["memory"])
    torch.testing.assert_close(torch.cat(outputs, 1), expected, **CLOSE[mixer_of])
    torch.testing.assert_close(torch.stack(memory, 1), expected_shared["memory"][:, length:], **CLOSE[mixer_of])


@KINDS
def test_a_ragged_batch_of_prompts_equals_one_by_one(mixer_of):
    mixer, x, lengths = mixer_of(), random_input(39, batch=3), [2, 39, 11]
    following = random_input(1, batch=3)
    together, cache = mixer.prefill(x, {}, Prompt(torch.tensor(lengths), 39))
    for row, length in enumerate(lengths):
        only = slice(row, row + 1)
        alone, own = mixer.prefill(x[only, :length], {}, Prompt(torch.tensor([length]), length))
        torch.testing.assert_close(together[only, :length], alone, **CLOSE[mixer_of])
        torch.testing.assert_close(cache.inputs_BKC[only], own.inputs_BKC, rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(cache.state[only], own.state, **EXACT)
    after = mixer.step(following[:, 0], {}, cache, torch.tensor(lengths))
    for row, length in enumerate(lengths):
        whole = torch.cat([x[row : row + 1, :length], following[row : row + 1]], 1)
        torch.testing.assert_close(after[row], mixer(whole, {}, None)[0, -1], **CLOSE[mixer_of])
