"""Recomputed activations change neither loss nor gradients, and are not kept, for every packaged architecture."""

import pytest
import torch
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

from archscale.compose import groups
from archscale.identity import run_id
from archscale.model.lm import LanguageModel
from archscale.ops.segments import Segments
from tests.model.architectures import packaged, small_run, varied_model

EVERY = groups()["arch"]
HEADS = {"scale.num_heads": 4, "scale.num_kv_heads": 2}
ARCHITECTURES = pytest.mark.parametrize("name", EVERY)


def model_of(name: str, *, recompute: bool) -> LanguageModel:
    return varied_model(packaged(name), **HEADS, **{"execution.recompute": recompute})


def random_tokens(*shape: int, seed: int = 0) -> Tensor:
    return torch.randint(0, 61, shape, generator=torch.Generator().manual_seed(seed))


def loss_and_gradients(model: LanguageModel, segments: Segments | None) -> list[Tensor]:
    loss = model.loss(random_tokens(2, 30), random_tokens(2, 30, seed=1), segments)
    return [loss, *torch.autograd.grad(loss, list(model.parameters()))]


@ARCHITECTURES
@pytest.mark.parametrize("packed", [False, True], ids=["whole", "packed"])
def test_loss_and_gradients_are_the_same_to_the_last_bit(name, packed):
    segments = Segments.of_lengths([[1, 20, 9], [30]]) if packed else None
    kept, recomputed = (loss_and_gradients(model_of(name, recompute=value), segments) for value in (False, True))
    for a, b in zip(kept, recomputed, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=0)


@ARCHITECTURES
def test_only_what_blocks_hand_on_is_kept(name):
    """The stream before each block and after the last, the memory and the keys and values, and around the head
    embeddings, both sides of the norm and the logarithms of softmax."""
    kept, model = held_floats_a_token(model_of(name, recompute=False)), model_of(name, recompute=True)
    width, handed_on = model.spec.scale.width, 0
    for block, layer in zip(model.blocks, model.layers, strict=True):
        handed_on += sum(block.mixer.shared_width(tensor) for tensor in layer.write)
        handed_on += len(layer.mlp_write) * model.spec.arch.mlp_ratio * width
    recomputed = held_floats_a_token(model)
    assert len(model.blocks) * width < recomputed < (len(model.blocks) + 5) * width + handed_on + 61 + 10
    assert recomputed < 0.3 * kept


def held_floats_a_token(model: LanguageModel) -> float:
    """Floating-point numbers that the graph of a loss holds when the forward pass is over, parameters left out."""
    tokens = random_tokens(2, 30)
    model.loss(tokens, tokens)  # tables of positions and masks stay for later calls
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiled:
        loss = model.loss(tokens, tokens)
    events = profiled.profiler.kineto_results.events()
    held = sum(event.nbytes() for event in events if event.name() == "[memory]")
    del loss
    return held / 8 / tokens.numel()


def test_evaluation_gives_the_loss_of_training():
    model, tokens = model_of("sambay", recompute=True), random_tokens(2, 30)
    with torch.no_grad():
        evaluated = model.loss(tokens, tokens)
    assert evaluated == model.loss(tokens, tokens)
    assert not evaluated.requires_grad


def test_recomputing_is_no_part_of_a_run_but_reaches_its_model():
    plain, recomputing = (small_run(packaged("sambay"), **{"execution.recompute": value}) for value in (False, True))
    assert run_id(plain) == run_id(recomputing)
    assert [LanguageModel(run).spec.recompute for run in (plain, recomputing)] == [False, True]
