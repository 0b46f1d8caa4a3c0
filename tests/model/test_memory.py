"""Memory of training grows linearly with the sequence for every mixer but full attention, packed or not."""

import pytest
import torch
from torch.profiler import ProfilerActivity, profile

from archscale.ops.segments import Segments
from tests.model.architectures import architecture, layer, small_model

HEADS = {"scale.num_heads": 4, "scale.num_kv_heads": 2}
LINEAR = ["window_attention", "differential_window_attention", "mamba", "mamba2", "gated_deltanet", "gmu"]


def peak_bytes(
    mixer: torch.nn.Module, x: torch.Tensor, shared: dict[str, torch.Tensor], segments: Segments | None
) -> int:
    """The most that was allocated at once during forward and backward, beyond what was there before."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiled:
        mixer(x, dict(shared), segments).sum().backward()
    held = highest = 0
    for event in profiled.profiler.kineto_results.events():
        if event.name() == "[memory]":
            held += event.nbytes()
            highest = max(highest, held)
    return highest


def documents(length: int) -> Segments:
    return Segments.of_lengths([[length // 8, 1, length // 2, length - length // 8 - 1 - length // 2]])


def growth(name: str, *, packed: bool) -> float:
    """Peak at 1024 tokens over the peak at 512."""
    spans = [(1, [layer("mamba", "memory")])] if name == "gmu" else []
    model = small_model(architecture(*spans, ("rest", [layer(name)]), window=32), **HEADS)
    mixer = model.blocks[len(spans)].mixer
    peaks = []
    for length in (512, 1024):
        mixer.zero_grad(set_to_none=True)
        x = torch.randn(1, length, 16, dtype=torch.float64, requires_grad=True)
        shared: dict[str, torch.Tensor] = {}
        if spans:
            model.blocks[0].mixer(torch.randn_like(x), shared, None)
        shared = {key: tensor.detach() for key, tensor in shared.items()}
        peaks.append(peak_bytes(mixer, x, shared, documents(length) if packed else None))
    return peaks[1] / peaks[0]


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("name", LINEAR)
def test_twice_the_tokens_take_twice_the_memory(name, packed):
    assert growth(name, packed=packed) < 2.1


def test_full_attention_is_the_exception_that_this_measure_sees():
    assert growth("attention", packed=False) > 3


@pytest.mark.parametrize(("lengths", "multiple"), [([2048], 2), ([256] * 8, 1.4)])
def test_documents_add_little_to_the_memory_of_full_attention_over_long_sequences(lengths, multiple):
    """No mask of all positions against all is built, and no key of an earlier document is looked at."""
    model = small_model(architecture(("rest", [layer("attention")])), **HEADS, **{"scale.head_dim": 64}).float()
    mixer, peaks = model.blocks[0].mixer, []
    for segments in (None, Segments.of_lengths([lengths])):
        mixer.zero_grad(set_to_none=True)
        peaks.append(peak_bytes(mixer, torch.randn(1, 2048, 16, requires_grad=True), {}, segments))
    assert peaks[1] < multiple * peaks[0]
