"""Properties that hold for every packaged architecture, at depth 8 and width 16, in float64.

Gains, biases and shifts are not those of the start, which do nothing, but random.
"""

from functools import partial

import pytest
import torch
from torch import Tensor

from archscale.compose import groups
from archscale.model.lm import LanguageModel
from archscale.model.mixers import gated_deltanet, mamba, mamba2
from archscale.model.stack import diagram, expand
from archscale.ops.segments import Segments
from tests.model.architectures import packaged, varied_model

EVERY = groups()["arch"]
HEADS = {"scale.num_heads": 4, "scale.num_kv_heads": 2}
ARCHITECTURES = pytest.mark.parametrize("name", EVERY)
DIAGRAMS = {
    "transformer_pp": "F" * 16,
    "transformer_ls": "SSSF" * 4,
    "swa_yoco": "SSSSSSSSS F CCCCCC",
    "samba": "MS" * 8,
    "samba_yoco": "MSMSMSMSM F CCCCCC",
    "sambay": "MSMSMSMSM F GCGCGC",
    "sambay_da": "MSMSMSMSM F GCGCGC",
    "sambay_2": "MSMSMSMSM F GCGCGC",
    "mambay": "MMMMMMMMM F GCGCGC",
    "mambay_2": "MMMMMMMMM F GCGCGC",
    "gdny": "MMMMMMMMM F GCGCGC",
    "sgdny": "MSMSMSMSM F GCGCGC",
    "sambay_a": "MSMSMSMSM F GCGCGC",
    "sambay_aa": "MSMSMSMSM F GGGGGG",
    "sambay_mlp": "MSMSMSMSM F GCGCGC",
    "phi4_mini_flash": "MSMSMSMSM F GCGCGC",
}


def model_of(name: str, **changes) -> LanguageModel:
    return varied_model(packaged(name), **HEADS, **changes)


def random_tokens(*shape: int, seed: int = 0) -> Tensor:
    return torch.randint(0, 61, shape, generator=torch.Generator().manual_seed(seed))


def test_the_diagrams_are_those_of_the_paper():
    assert {name: diagram(expand(packaged(name), 16)) for name in EVERY} == DIAGRAMS
    assert diagram(expand(packaged("phi4_mini_flash"), 32)) == "MS" * 8 + "M F " + "GC" * 7


@ARCHITECTURES
def test_a_changed_future_token_changes_no_earlier_logit(name):
    model, tokens = model_of(name), random_tokens(2, 30)
    changed = tokens.clone()
    changed[:, 19:] = (changed[:, 19:] + 1) % 61
    with torch.no_grad():
        before, after = model(tokens), model(changed)
    torch.testing.assert_close(before[:, :19], after[:, :19], rtol=0, atol=1e-12)
    assert not torch.allclose(before[:, 19:], after[:, 19:])


@ARCHITECTURES
def test_packed_documents_equal_separate_ones_forward_and_backward(name):
    model, tokens, targets = model_of(name), random_tokens(1, 30), random_tokens(1, 30, seed=1)
    parts, parameters = [slice(0, 1), slice(1, 21), slice(21, 30)], list(model.parameters())
    apart = torch.cat([model(tokens[:, part]) for part in parts], 1)
    segments = Segments.of_lengths([[1, 20, 9]])
    torch.testing.assert_close(model(tokens, segments), apart, rtol=1e-10, atol=1e-11)
    together_loss = model.loss(tokens, targets, segments)
    apart_loss = torch.nn.functional.cross_entropy(apart[0], targets[0])
    gradients = [torch.autograd.grad(loss, parameters) for loss in (together_loss, apart_loss)]
    for a, b in zip(*gradients, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-8, atol=1e-11)


@ARCHITECTURES
def test_gradients_equal_finite_differences(name):
    """Along one random direction over all parameters, so that no gradient can be wrong unseen."""
    model, tokens, targets = model_of(name), random_tokens(2, 21), random_tokens(2, 21, seed=1)
    parameters = list(model.parameters())
    generator = torch.Generator().manual_seed(2)
    direction = [torch.randn(p.shape, generator=generator, dtype=p.dtype) * (0.02 + p.abs().mean()) for p in parameters]
    segments = Segments.of_lengths([[13, 8], [21]])
    gradients = torch.autograd.grad(model.loss(tokens, targets, segments), parameters)
    slope = sum((g * d).sum() for g, d in zip(gradients, direction, strict=True))
    step, losses = 2e-6, {}
    with torch.no_grad():
        for place, move in ((1, 1), (2, 1), (-1, -3), (-2, -1)):
            for parameter, d in zip(parameters, direction, strict=True):
                parameter.add_(d, alpha=move * step)
            losses[place] = model.loss(tokens, targets, segments)
    # Five points: the error is of the fourth order in the step.
    difference = (8 * (losses[1] - losses[-1]) - (losses[2] - losses[-2])) / (12 * step)
    torch.testing.assert_close(difference, slope, rtol=1e-7, atol=1e-9)


@ARCHITECTURES
def test_auto_and_reference_backends_agree_with_gradients(name):
    tokens, segments = random_tokens(2, 38), Segments.of_lengths([[20, 17], [37]])
    found = []
    for backend in ("auto", "reference"):
        model = model_of(name, **{"execution.backend": backend})
        loss = model.loss(tokens[:, :-1], tokens[:, 1:], segments)
        found.append([loss, *torch.autograd.grad(loss, list(model.parameters()))])
    for a, b in zip(*found, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-8, atol=1e-11)


@ARCHITECTURES
def test_another_chunk_size_changes_nothing(name, monkeypatch):
    model, tokens = model_of(name), random_tokens(2, 37)
    with torch.no_grad():
        expected = model(tokens)
        for module, scan in ((mamba, "selective_scan"), (mamba2, "ssd_scan"), (gated_deltanet, "gated_delta_rule")):
            monkeypatch.setattr(module, scan, partial(getattr(module, scan), chunk=5))
        torch.testing.assert_close(model(tokens), expected, rtol=1e-9, atol=1e-11)


@ARCHITECTURES
@pytest.mark.parametrize("prompt", [1, 17])
def test_prefill_and_steps_equal_one_forward(name, prompt):
    model, tokens = model_of(name), random_tokens(2, 30)
    with torch.no_grad():
        expected = model(tokens)
    cache, logits = model.prefill(tokens[:, :prompt])
    torch.testing.assert_close(logits, expected[:, prompt - 1], rtol=1e-9, atol=1e-11)
    for position in range(prompt, 30):
        logits = model.step(tokens[:, position], cache)
        torch.testing.assert_close(logits, expected[:, position], rtol=1e-9, atol=1e-11)


@ARCHITECTURES
def test_a_ragged_batch_of_prompts_equals_one_by_one(name):
    model, tokens, lengths = model_of(name), random_tokens(3, 23), [1, 23, 9]
    more = random_tokens(3, 4, seed=1)
    cache, logits = model.prefill(tokens, torch.tensor(lengths))
    batched = [logits, *(model.step(more[:, t], cache) for t in range(4))]
    assert cache.lengths_B.tolist() == [5, 27, 13]
    for row, length in enumerate(lengths):
        cache, logits = model.prefill(tokens[row : row + 1, :length])
        alone = [logits, *(model.step(more[row : row + 1, t], cache) for t in range(4))]
        for a, b in zip(batched, alone, strict=True):
            torch.testing.assert_close(a[row], b[0], rtol=1e-9, atol=1e-11)
