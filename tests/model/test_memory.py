"""Memory of training grows linearly with the sequence for every mixer but full attention."""

import pytest
import torch
from torch.profiler import ProfilerActivity, profile

from tests.model.architectures import architecture, layer, small_model


def peak_bytes(mixer: torch.nn.Module, x: torch.Tensor, shared: dict[str, torch.Tensor]) -> int:
    """The most that was allocated at once during forward and backward, beyond what was there before."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiled:
        mixer(x, dict(shared), None).sum().backward()
    held = highest = 0
    for event in profiled.profiler.kineto_results.events():
        if event.name() == "[memory]":
            held += event.nbytes()
            highest = max(highest, held)
    return highest


def growth(name: str) -> float:
    """Peak at 1024 tokens over the peak at 512."""
    readers = {"gmu": ["mamba", "memory"], "cross_attention": ["attention", "kv"]}
    spans = [(1, [layer(*readers[name])])] if name in readers else []
    arch = architecture(*spans, ("rest", [layer(name)]), window=32)
    model = small_model(arch, **{"scale.num_heads": 4, "scale.num_kv_heads": 2})
    mixer = model.blocks[len(spans)].mixer
    peaks = []
    for length in (512, 1024):
        mixer.zero_grad(set_to_none=True)
        x = torch.randn(1, length, 16, dtype=torch.float64, requires_grad=True)
        shared: dict[str, torch.Tensor] = {}
        if spans:
            model.blocks[0].mixer(torch.randn_like(x), shared, None)
        peaks.append(peak_bytes(mixer, x, {key: tensor.detach() for key, tensor in shared.items()}))
    return peaks[1] / peaks[0]


@pytest.mark.parametrize(
    "name", ["window_attention", "differential_window_attention", "mamba", "mamba2", "gated_deltanet", "gmu"]
)
def test_twice_the_tokens_take_twice_the_memory(name):
    assert growth(name) < 2.1


def test_full_attention_is_the_exception_that_this_measure_sees():
    assert growth("attention") > 3
