from math import log

import pytest
import torch
from torch import Generator, Tensor
from torch.nn.functional import silu, softplus

from archscale.model.cache import Prompt
from archscale.model.mixers.base import Place, build_mixer
from archscale.model.mixers.gated_deltanet import GatedDeltaNet, GatedDeltaNetConfig
from archscale.registry import UserError
from tests.model.architectures import architecture, layer, packaged, paper_scale
from tests.model.recurrent_mixers import HEADS, KEY, VALUE, WIDTH, gated_deltanet_of, random_input


def by_token(mixer: GatedDeltaNet, x: Tensor, *, beta_max: float, norm_first: bool) -> tuple[Tensor, Tensor]:
    """Output and memory of one sequence (T, W) from the equations, one token and one head at a time."""
    w = {name: p.detach() for name, p in mixer.named_parameters()}
    inputs = x @ w["query_key_value.weight"].t()
    states = [torch.zeros(VALUE, KEY, dtype=x.dtype) for _ in range(HEADS)]
    outputs, memory = [], []
    for t in range(len(x)):
        taps = [w["conv_weight_CK"][:, 3 - back] * inputs[t - back] for back in range(4) if t >= back]
        q, k, v = silu(sum(taps)).split([HEADS * KEY, HEADS * KEY, HEADS * VALUE])
        beta = beta_max / (1 + torch.exp(-w["beta.weight"] @ x[t]))
        alpha = torch.exp(-w["A_log_H"].exp() * softplus(w["decay.weight"] @ x[t] + w["step_bias_H"]))
        read = []
        for h in range(HEADS):
            key, query = (y[h * KEY : (h + 1) * KEY] for y in (k, q))
            key, query = (y / torch.sqrt(y @ y + 1e-6) for y in (key, query))
            turn = torch.eye(KEY, dtype=x.dtype) - beta[h] * torch.outer(key, key)
            value = v[h * VALUE : (h + 1) * VALUE]
            states[h] = alpha[h] * states[h] @ turn + beta[h] * torch.outer(value, key)
            read.append(states[h] @ query / KEY**0.5)
        m, gate = torch.cat(read), silu(w["gate.weight"] @ x[t])
        inner = m if norm_first else m * gate
        normal = inner / (inner.square().mean() + 1e-5).sqrt() * w["gain_M"]
        outputs.append(w["output.weight"] @ (normal * gate if norm_first else normal))
        memory.append(m)
    return torch.stack(outputs), torch.stack(memory)


@pytest.mark.parametrize("norm", ["after_gate", "before_gate"])
@pytest.mark.parametrize("negative", [True, False])
def test_output_and_memory_equal_their_equations(norm, negative):
    mixer = gated_deltanet_of(norm=norm, negative_eigenvalues=negative, writes=("memory",))
    x, shared = random_input(19), {}
    output = mixer(x, shared, None)
    assert shared["memory"].shape[-1] == mixer.shared_width("memory") == HEADS * VALUE
    for row in range(2):
        expected, memory = by_token(mixer, x[row], beta_max=2.0 if negative else 1.0, norm_first=norm == "before_gate")
        torch.testing.assert_close(output[row], expected, rtol=1e-10, atol=1e-12)
        torch.testing.assert_close(shared["memory"][row], memory, rtol=1e-10, atol=1e-12)


def test_a_padded_prompt_leaves_the_same_cache_as_one_without_padding():
    mixer, x = gated_deltanet_of(), random_input(39)
    padded, exact = (mixer.prefill(x[:, :size], {}, Prompt(torch.tensor([7, 7]), size))[1] for size in (39, 7))
    torch.testing.assert_close(padded.inputs_BKC, exact.inputs_BKC, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(padded.state, exact.state, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize(("arch", "width", "heads"), [("gdny", 1920, 6), ("sgdny", 2016, 6)])
def test_heads_and_count_at_the_widths_of_the_paper(arch, width, heads):
    """Keys of 256 and values of 512 per head: 1536 and 3072 numbers, where three quarters of 1920 are 1440."""
    arch = packaged(arch)
    scale = paper_scale(arch, depth=16)
    assert scale.width == width
    with torch.device("meta"):
        mixer = build_mixer(layer("gated_deltanet"), Place(layer=0, width=width), arch, scale)
    assert mixer.shared_width("memory") == 512 * heads == 3072
    matrices = width * (2 * 1536 + 3072) + 2 * width * 3072 + 2 * width * heads
    assert sum(p.numel() for p in mixer.parameters() if p.role == "hidden") == matrices
    vectors = 4 * (2 * 1536 + 3072) + 2 * heads + 3072
    assert sum(p.numel() for p in mixer.parameters()) == matrices + vectors


@pytest.mark.parametrize("head_dim", [8, 16, 32])
def test_small_heads_keep_the_proportions_of_the_paper(head_dim):
    arch = architecture(("rest", [layer("gated_deltanet")]))
    scale = paper_scale(packaged("gdny"), depth=16, head_dim=head_dim)
    with torch.device("meta"):
        mixer = build_mixer(layer("gated_deltanet"), Place(layer=0, width=scale.width), arch, scale)
    key = mixer.heads * mixer.key
    assert mixer.key == 2 * head_dim
    assert 0 <= key - int(0.75 * scale.width) < mixer.key
    assert mixer.shared_width("memory") == 2 * key


def test_decay_parameters_start_as_in_the_paper():
    config = GatedDeltaNetConfig(num_heads=20_000, key_head_dim=1)
    mixer = GatedDeltaNet(config, Place(layer=0, width=1))
    decays, steps = mixer.A_log_H, mixer.step_bias_H
    for parameter in (decays, steps):
        parameter.own(parameter.data, Generator().manual_seed(0))
        parameter.requires_grad_(False)
    assert decays.isfinite().all()
    quantiles = decays.exp().quantile(torch.tensor([0.0, 0.25, 0.5, 1.0]))
    torch.testing.assert_close(quantiles, torch.tensor([0.0, 4.0, 8.0, 16.0]), rtol=0, atol=0.2)
    quantiles = softplus(steps).log().quantile(torch.tensor([0.0, 0.5, 1.0]))
    torch.testing.assert_close(quantiles, torch.tensor([log(1e-3), log(1e-2), log(0.1)]), rtol=0, atol=0.05)


def test_a_decay_drawn_as_zero_has_a_finite_logarithm(monkeypatch):
    mixer = gated_deltanet_of()
    for drawn in (0.0, 1.0 - 2**-24):
        monkeypatch.setattr(torch, "rand", lambda shape, generator, drawn=drawn: torch.full(shape, drawn))
        mixer.A_log_H.own(mixer.A_log_H.data, Generator())
        assert mixer.A_log_H.isfinite().all()


def test_the_recurrence_is_counted_as_seven_operations_for_each_entry_of_the_state():
    wide, narrow = (gated_deltanet_of(key_head_dim=key, value_ratio=1).flops_per_token(100) for key in (2000, 1000))
    assert wide / 2 - narrow == 7 * HEADS * (2000**2 / 2 - 1000**2) - 3 * HEADS / 2
    assert gated_deltanet_of().flops_per_token(1) == 2 * 4 * 40 + HEADS * (7 * KEY * VALUE + 7 * KEY + 7 * VALUE + 3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_heads": 0}, "num_heads = 0: it must be at least 1"),
        ({"value_ratio": 0}, "value_ratio = 0: it must be at least 1"),
        ({"norm": "inside"}, "norm"),
        ({"key_dim": 4}, "key_head_dim"),
    ],
)
def test_impossible_options_are_refused_in_one_line(options, message):
    arch = architecture(("rest", [layer("gated_deltanet")]))
    scale = paper_scale(packaged("gdny"), depth=8)
    with pytest.raises(UserError, match=message) as refused:
        build_mixer(layer("gated_deltanet", **options), Place(layer=3, width=WIDTH), arch, scale)
    assert "layer 3, mixer gated_deltanet" in str(refused.value)
    assert "\n" not in str(refused.value)
