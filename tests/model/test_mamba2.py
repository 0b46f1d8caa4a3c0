import dataclasses
from math import ceil, log

import pytest
import torch
from torch import Generator, Tensor
from torch.nn.functional import silu, softplus

from archscale.model.cache import Prompt
from archscale.model.mixers.base import Place, build_mixer
from archscale.model.mixers.mamba2 import Mamba2, Mamba2Config
from archscale.ops.segments import Segments
from archscale.registry import UserError
from tests.model.architectures import architecture, layer, packaged, paper_scale

WIDTH = 12


def mixer_of(*, width: int = WIDTH, writes: tuple[str, ...] = (), **options) -> Mamba2:
    """Initialised, in float64: 4 heads of 6 channels (12 · 2 / 6), with a state of 5."""
    config = Mamba2Config(**{"head_dim": 6, "state_size": 5, "head_multiple": 2, **options})
    mixer = Mamba2(config, Place(layer=0, width=width, writes=frozenset(writes)))
    generator = Generator().manual_seed(0)
    for parameter in mixer.parameters():
        own = parameter.own or (lambda tensor, generator: tensor.normal_(0, 0.3, generator=generator))
        own(parameter.data, generator)
    with torch.no_grad():
        mixer.skip_H.uniform_(0.5, 2.0, generator=generator)
        mixer.gain_D.uniform_(0.5, 2.0, generator=generator)
        # Steps of about one: with steps of 0.01 the state would hardly matter.
        mixer.step_bias_H.add_(4.0)
    return mixer.double()


def random_input(length: int, batch: int = 2) -> Tensor:
    torch.manual_seed(length)
    return torch.randn(batch, length, WIDTH, dtype=torch.float64)


def by_token(mixer: Mamba2, x: Tensor, norm_first: bool) -> tuple[Tensor, Tensor]:
    """Output and memory of one sequence (T, W) from the equations, one token and one head at a time."""
    weights = {name: p.detach() for name, p in mixer.named_parameters()}
    size, heads = 5, len(weights["A_log_H"])
    inputs, z = x @ weights["input.weight"].t(), x @ weights["gate.weight"].t()
    states = torch.zeros(heads, 6, size, dtype=x.dtype)
    outputs, memory = [], []
    for t in range(len(x)):
        taps = [weights["conv_weight_CK"][:, 3 - k] * inputs[t - k] for k in range(4) if t >= k]
        u, B, C = silu(weights["conv_bias_C"] + sum(taps)).split([6 * heads, size, size])
        delta = softplus(weights["delta.weight"] @ x[t] + weights["step_bias_H"])
        m = []
        for h in range(heads):
            head = u[6 * h : 6 * h + 6]
            decay = torch.exp(-delta[h] * weights["A_log_H"][h].exp())
            states[h] = decay * states[h] + delta[h] * torch.outer(head, B)
            m.append(states[h] @ C + weights["skip_H"][h] * head)
        m = torch.cat(m)
        inner = m if norm_first else m * silu(z[t])
        normal = inner / (inner.square().mean() + 1e-5).sqrt() * weights["gain_D"]
        outputs.append(weights["output.weight"] @ (normal * silu(z[t]) if norm_first else normal))
        memory.append(m)
    return torch.stack(outputs), torch.stack(memory)


@pytest.mark.parametrize("norm", ["after_gate", "before_gate"])
def test_output_and_memory_equal_their_equations(norm):
    mixer, x, shared = mixer_of(norm=norm, writes=("memory",)), random_input(19), {}
    output = mixer(x, shared, None)
    assert shared["memory"].shape[-1] == mixer.shared_width("memory") == 24
    for row in range(2):
        expected, memory = by_token(mixer, x[row], norm == "before_gate")
        torch.testing.assert_close(output[row], expected, rtol=1e-10, atol=1e-12)
        torch.testing.assert_close(shared["memory"][row], memory, rtol=1e-10, atol=1e-12)


def test_only_the_named_layer_writes_the_memory():
    shared: dict[str, Tensor] = {}
    mixer_of()(random_input(5), shared, None)
    assert not shared


def test_a_changed_future_token_changes_nothing_before_it():
    mixer, x = mixer_of(), random_input(45)
    y = x.clone()
    y[:, 30:] += 1
    before, after = mixer(x, {}, None), mixer(y, {}, None)
    torch.testing.assert_close(before[:, :30], after[:, :30], rtol=0, atol=1e-12)
    assert not torch.allclose(before[:, 30:], after[:, 30:])


def test_packed_documents_equal_separate_ones_forward_and_backward():
    mixer, x = mixer_of(), random_input(24)
    parts = [slice(0, 1), slice(1, 18), slice(18, 24)]
    weight = torch.randn_like(x)

    def with_gradients(y: Tensor) -> list[Tensor]:
        return [y, *torch.autograd.grad((y * weight).sum(), list(mixer.parameters()))]

    together = with_gradients(mixer(x, {}, Segments.of_lengths([[1, 17, 6]] * 2)))
    apart = with_gradients(torch.cat([mixer(x[:, part], {}, None) for part in parts], 1))
    for a, b in zip(together, apart, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("length", [1, 2, 18])
@pytest.mark.parametrize("options", [{}, {"conv_size": 1}, {"norm": "before_gate"}])
def test_prefill_and_steps_equal_one_forward(length, options):
    mixer, x, expected_shared = mixer_of(writes=("memory",), **options), random_input(23), {}
    expected = mixer(x, expected_shared, None)
    first, cache = mixer.prefill(x[:, :length], {}, Prompt(torch.full((2,), length), length))
    outputs, memory = [first], []
    for t in range(length, 23):
        shared: dict = {}
        outputs.append(mixer.step(x[:, t], shared, cache, torch.full((2,), t))[:, None])
        memory.append(shared["memory"])
    torch.testing.assert_close(torch.cat(outputs, 1), expected, rtol=1e-11, atol=1e-11)
    torch.testing.assert_close(torch.stack(memory, 1), expected_shared["memory"][:, length:], rtol=1e-11, atol=1e-11)


def test_a_ragged_batch_of_prompts_equals_one_by_one():
    mixer, x, lengths = mixer_of(), random_input(19, batch=3), [2, 19, 11]
    following = random_input(3, batch=3)
    together, cache = mixer.prefill(x, {}, Prompt(torch.tensor(lengths), 19))
    for row, length in enumerate(lengths):
        only = slice(row, row + 1)
        alone, own = mixer.prefill(x[only, :length], {}, Prompt(torch.tensor([length]), length))
        torch.testing.assert_close(together[only, :length], alone, rtol=1e-11, atol=1e-11)
        torch.testing.assert_close(cache.inputs_BKC[only], own.inputs_BKC, rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(cache.state[only], own.state, rtol=1e-11, atol=1e-11)
    after = mixer.step(following[:, 0], {}, cache, torch.tensor(lengths))
    for row, length in enumerate(lengths):
        whole = torch.cat([x[row : row + 1, :length], following[row : row + 1, :1]], 1)
        torch.testing.assert_close(after[row], mixer(whole, {}, None)[0, -1], rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize(("arch", "width"), [("mambay_2", 1920), ("sambay_2", 1984)])
def test_the_count_at_the_widths_of_the_paper(arch, width):
    """64 heads of 64 are 4096 channels: gate, x with B and C of 128, one step per head, and the way out."""
    arch = packaged(arch)
    scale = paper_scale(arch, depth=16)
    assert scale.width == width
    with torch.device("meta"):
        mixer = build_mixer(layer("mamba2"), Place(layer=0, width=width), arch, scale)
    matrices = width * 4096 + width * (4096 + 128 + 128) + width * 64 + 4096 * width
    vectors = 5 * (4096 + 128 + 128) + 3 * 64 + 4096
    assert matrices + vectors == {1920: 24_233_408, 1984: 25_040_320}[width]
    assert sum(p.numel() for p in mixer.parameters()) == matrices + vectors
    assert sum(p.numel() for p in mixer.parameters() if p.role == "hidden") == matrices


@pytest.mark.parametrize("width", [1, 31, 32, 33, 1000])
def test_heads_are_the_smallest_multiple_that_is_wide_enough(width):
    with torch.device("meta"):
        heads = mixer_on_meta(width).heads
    assert heads % 8 == 0
    assert (heads - 8) * 4 < 2 * width <= heads * 4
    assert heads == 8 * ceil(2 * width / 4 / 8)


def mixer_on_meta(width: int) -> Mamba2:
    return Mamba2(Mamba2Config(head_dim=4, state_size=8), Place(layer=0, width=width))


def test_a_small_ladder_keeps_the_proportions_of_the_paper():
    arch = architecture(("rest", [layer("mamba2")]))
    scale = paper_scale(arch, depth=8)
    assert Mamba2.defaults(arch, scale) == {"head_dim": 64, "state_size": 128}
    assert Mamba2.defaults(arch, dataclasses.replace(scale, head_dim=8)) == {"head_dim": 4, "state_size": 8}
    assert Mamba2.defaults(arch, dataclasses.replace(scale, head_dim=1)) == {"head_dim": 1, "state_size": 1}


def test_decays_and_steps_start_where_the_paper_puts_them():
    mixer, generator = Mamba2(Mamba2Config(head_dim=1, state_size=1), Place(layer=0, width=1000)), Generator()
    for parameter in (mixer.A_log_H, mixer.step_bias_H):
        parameter.own(parameter.data, generator.manual_seed(0))
    decay, step = mixer.A_log_H.detach().exp(), softplus(mixer.step_bias_H.detach())
    assert 1 <= decay.min() < 1.1
    assert 15.9 < decay.max() <= 16
    assert decay.mean().item() == pytest.approx(8.5, abs=0.3)
    assert 0.99e-3 < step.min() < 1.1e-3
    assert 0.09 < step.max() < 0.101
    assert step.log().mean().item() == pytest.approx(log(1e-2), abs=0.1)


def test_operations_are_counted_without_the_matrices():
    """Per token: 34 convolved channels, 4 taps; 4 decays; 24 channels with a state of 5."""
    assert mixer_of().flops_per_token(512) == 34 * 8 + 4 + 24 * (1 + 3 * 5 + 2 * 5 + 2 + 1 + 4)


def test_impossible_options_are_refused_by_name():
    arch = architecture(("rest", [layer("mamba2")]))
    scale = paper_scale(arch, depth=8)
    for options, message in (
        ({"state_size": 0}, "state_size = 0: it must be at least 1"),
        ({"norm": "first"}, "after_gate"),
        ({"head_dims": 4}, "head_dim"),
    ):
        with pytest.raises(UserError, match=message):
            build_mixer(layer("mamba2", **options), Place(layer=3, width=16), arch, scale)
