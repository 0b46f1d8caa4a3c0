"""Every packaged architecture in bfloat16 autocast: what is rounded, and what stays in float32.

Matrix products, and the keys and values a generation keeps, are in bfloat16. Logits, loss, gradients, the step sizes
and decays of a recurrence, and its state are in float32.
"""

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import softplus

from archscale.compose import groups
from archscale.model.cache import KeyValueCache, RecurrentCache
from archscale.model.lm import LanguageModel
from archscale.model.mixers import gated_deltanet, mamba, mamba2
from tests.model.architectures import architecture, layer, packaged, varied_model

HEADS = {"scale.num_heads": 4, "scale.num_kv_heads": 2}
ARCHITECTURES = pytest.mark.parametrize("name", groups()["arch"])


def model_of(name: str) -> LanguageModel:
    return varied_model(packaged(name), **HEADS).float()


def random_tokens(*shape: int, seed: int = 0) -> Tensor:
    return torch.randint(0, 61, shape, generator=torch.Generator().manual_seed(seed))


def bfloat16() -> torch.autocast:
    return torch.autocast("cpu", torch.bfloat16)


@ARCHITECTURES
def test_a_training_step_has_nearly_the_loss_and_the_gradients_of_float32(name):
    model, tokens, targets = model_of(name), random_tokens(2, 30), random_tokens(2, 30, seed=1)
    parameters = list(model.parameters())
    exact = model.loss(tokens, targets)
    exact_gradients = torch.autograd.grad(exact, parameters)
    with bfloat16():
        assert model(tokens).dtype == torch.float32
        rough = model.loss(tokens, targets)
    assert rough.dtype == torch.float32
    assert abs(rough.item() - exact.item()) < 0.01
    gradients = torch.autograd.grad(rough, parameters)
    assert {gradient.dtype for gradient in gradients} == {torch.float32}
    a, b = (torch.cat([gradient.flatten() for gradient in found]) for found in (gradients, exact_gradients))
    assert (a - b).norm() < 0.25 * b.norm()


@ARCHITECTURES
def test_prefill_and_steps_are_near_the_forward_and_keep_keys_rounded_and_states_exact(name):
    model, tokens = model_of(name), random_tokens(2, 24)
    with bfloat16(), torch.no_grad():
        expected = model(tokens)
        cache, logits = model.prefill(tokens[:, :17])
        found = [logits, *(model.step(tokens[:, position], cache) for position in range(17, 24))]
    torch.testing.assert_close(torch.stack(found, 1), expected[:, 16:], rtol=0, atol=0.04 * expected.abs().max().item())
    for kept in cache.layers:
        if isinstance(kept, KeyValueCache):
            assert kept.kv_BS2GK.dtype == torch.bfloat16
        if isinstance(kept, RecurrentCache):
            assert kept.state.dtype == torch.float32


def test_the_full_cache_of_the_released_model_takes_two_bytes_a_number():
    model = model_of("phi4_mini_flash")
    with bfloat16():
        cache, _ = model.prefill(random_tokens(1, 20))
    full = [kept for kept in cache.layers if isinstance(kept, KeyValueCache) and kept.window is None]
    writer = next(block.mixer for block in model.blocks if "kv" in block.mixer.place.writes)
    assert len(full) == 1
    assert sum(tensor.nbytes for tensor in full[0].tensors()) == 20 * 2 * writer.shared_width("kv")


@pytest.mark.parametrize(("module", "scan"), [(mamba, "selective_scan"), (mamba2, "ssd_scan")])
def test_step_sizes_are_computed_in_float32(module, scan, monkeypatch):
    name = module.__name__.rpartition(".")[2]
    model = varied_model(architecture(("rest", [layer(name)])), **HEADS).float()
    mixer, recurrence, steps, projected = model.blocks[0].mixer, getattr(module, scan), [], []
    mixer.delta.register_forward_hook(lambda _, inputs, output: projected.append(output))

    def watched(x: Tensor, delta: Tensor, *inputs: Any, **options: Any) -> Any:
        steps.append(delta)
        return recurrence(x, delta, *inputs, **options)

    monkeypatch.setattr(module, scan, watched)
    with bfloat16(), torch.no_grad():
        model(random_tokens(2, 20))
    bias = next(parameter for path, parameter in mixer.named_parameters() if path.startswith("step_bias"))
    assert projected[0].dtype == torch.bfloat16
    assert steps[0].dtype == torch.float32
    torch.testing.assert_close(steps[0], softplus(projected[0].float() + bias), rtol=1e-6, atol=0)


def test_all_that_the_delta_rule_gets_is_float32_and_its_decays_are_computed_so(monkeypatch):
    model = varied_model(architecture(("rest", [layer("gated_deltanet")])), **HEADS).float()
    mixer, rule, given, projected = model.blocks[0].mixer, gated_deltanet.gated_delta_rule, [], []
    mixer.decay.register_forward_hook(lambda _, inputs, output: projected.append(output))

    def watched(*inputs: Tensor, **options: Any) -> Any:
        given.append(inputs)
        return rule(*inputs, **options)

    monkeypatch.setattr(gated_deltanet, "gated_delta_rule", watched)
    with bfloat16(), torch.no_grad():
        model(random_tokens(2, 20))
    assert [tensor.dtype for tensor in given[0]] == [torch.float32] * 5
    q, k, _, log_decay, _ = given[0]
    for unit in (q, k):
        # Rounded to bfloat16, a key's length is off by up to 2⁻⁹.
        torch.testing.assert_close(unit.norm(dim=-1), torch.ones(unit.shape[:-1]), rtol=0, atol=1e-3)
    expected = -mixer.A_log_H.exp() * softplus(projected[0].float() + mixer.step_bias_H)
    torch.testing.assert_close(log_decay, expected, rtol=1e-6, atol=0)
