from math import exp

import pytest
import torch
from torch import Tensor

from archscale.compose import load_config
from archscale.model.lm import LanguageModel
from archscale.model.mixers import differential
from archscale.model.mixers.base import MIXERS, Mixer
from archscale.model.stack import diagram, expand
from archscale.ops.differential_attention import differential_attention
from archscale.ops.rotary import rotate
from archscale.ops.segments import Segments
from archscale.registry import UserError
from tests.model.architectures import architecture, layer, small_model

WRITER, READER, WINDOW = 5, 7, 3
HEADS = {"scale.num_heads": 4, "scale.num_kv_heads": 2}
BOTH_POSITIONS = pytest.mark.parametrize("positions", ["rope", "none"])


def sambay_da(positions: str = "rope", **changes) -> LanguageModel:
    """Layers 1 and 3 have a window, 5 writes its keys and values, 7 reads them; λ is not near its start."""
    arch = architecture(
        ("half", [layer("mamba"), layer("differential_window_attention")]),
        (2, [layer("mamba", "memory"), layer("differential_attention", "kv")]),
        ("rest", [layer("gmu"), layer("differential_cross_attention")]),
        positions=positions,
    )
    model = small_model(arch, **{**HEADS, **changes})
    generator = torch.Generator().manual_seed(3)
    for name, parameter in model.named_parameters():
        if ".core." in name:
            with torch.no_grad():
                parameter.uniform_(0.2, 0.8, generator=generator)
    return model


def random_tokens(*shape: int, seed: int = 0) -> Tensor:
    return torch.randint(0, 61, shape, generator=torch.Generator().manual_seed(seed))


def random_input(length: int) -> Tensor:
    return torch.randn(2, length, 16, generator=torch.Generator().manual_seed(length), dtype=torch.float64)


def by_definition(mixer: Mixer, q: Tensor, k: Tensor, v: Tensor, window: int | None, index: int) -> Tensor:
    """Equations 2 and 3 of arXiv 2410.05258, one token and one pair at a time."""
    weights = {name: parameter.detach() for name, parameter in mixer.named_parameters()}
    start = 0.8 - 0.6 * exp(-0.3 * index)
    products = [float(weights[f"core.mix_query{i}_K"] @ weights[f"core.mix_key{i}_K"]) for i in (1, 2)]
    mix = torch.tensor(exp(products[0]) - exp(products[1]) + start, dtype=q.dtype)
    o = differential_attention(q, k, v, mix, window=window, backend="reference")
    tokens = []
    for token in o.flatten(0, 1):
        pairs = [
            (1 - start) * pair / (pair.square().mean() + 1e-5).sqrt() * weights["core.norm.gain"] for pair in token
        ]
        tokens.append(torch.cat(pairs) @ weights["output.weight"].t())
    return torch.stack(tokens).view(*q.shape[:2], -1)


@BOTH_POSITIONS
def test_the_three_mixers_equal_their_equations(positions):
    model, x, shared = sambay_da(positions), random_input(9), {}

    def turn(y: Tensor) -> Tensor:
        return rotate(y, 10_000.0, backend="reference") if positions == "rope" else y

    for index, window in ((WINDOW, 6), (WRITER, None)):
        mixer = model.blocks[index].mixer
        heads = (x @ mixer.query_key_value.weight.t()).unflatten(-1, (8, 8))
        q, k, v = turn(heads[:, :, :4]), turn(heads[:, :, 4:6]), heads[:, :, 6:]
        expected = by_definition(mixer, q, k, v, window, index)
        torch.testing.assert_close(mixer(x, shared, None), expected, rtol=1e-11, atol=1e-12)
    torch.testing.assert_close(shared["kv"], torch.stack([k, v], 2), rtol=1e-12, atol=1e-12)
    mixer = model.blocks[READER].mixer
    q = turn((x @ mixer.query.weight.t()).unflatten(-1, (4, 8)))
    expected = by_definition(mixer, q, k, v, None, READER)
    torch.testing.assert_close(mixer(x, shared, None), expected, rtol=1e-11, atol=1e-12)


def test_a_layer_adds_four_mixing_vectors_and_one_gain_to_the_parameters_of_attention():
    def sizes(name: str) -> dict[str, tuple[int, ...]]:
        mixer = small_model(architecture(("rest", [layer(name)])), **{**HEADS, "scale.head_dim": 128}).blocks[0].mixer
        return {name: tuple(parameter.shape) for name, parameter in mixer.named_parameters()}

    for kind in ("attention", "window_attention"):
        added = dict(sizes(f"differential_{kind}").items() - sizes(kind).items())
        vectors = [f"core.mix_{side}{i}_K" for side in ("query", "key") for i in (1, 2)]
        assert added == {**dict.fromkeys(vectors, (128,)), "core.norm.gain": (256,)}
        assert sum(size for (size,) in added.values()) == 768


def test_the_mix_starts_near_the_papers_value_for_the_layers_depth():
    arch = architecture(("rest", [layer("differential_attention")]), positions="rope")
    model = small_model(arch, **{**HEADS, "scale.head_dim": 128})
    cores = [block.mixer.core for block in model.blocks]
    for index, core in enumerate(cores):
        # The product of two vectors of 128 normal numbers of deviation 0.1 deviates by 0.01 · √128 = 0.11.
        assert core.mix().item() == pytest.approx(0.8 - 0.6 * exp(-0.3 * index), abs=0.6)
        assert core.mix_initial == 0.8 - 0.6 * exp(-0.3 * index)
        assert core.norm.eps == 1e-5
    vectors = torch.cat([p.detach() for core in cores for name, p in core.named_parameters() if name.startswith("mix")])
    assert vectors.std().item() == pytest.approx(0.1, rel=0.1)
    assert abs(vectors.mean().item()) < 0.01
    parameters = [p for core in cores for p in core.parameters()]
    assert {p.role for p in parameters} == {"vector"}


@BOTH_POSITIONS
def test_a_changed_future_token_changes_no_earlier_logit(positions):
    model, tokens = sambay_da(positions), random_tokens(2, 40)
    changed = tokens.clone()
    changed[:, 25:] = (changed[:, 25:] + 1) % 61
    with torch.no_grad():
        before, after = model(tokens), model(changed)
    torch.testing.assert_close(before[:, :25], after[:, :25], rtol=0, atol=1e-12)
    assert not torch.allclose(before[:, 25:], after[:, 25:])


@BOTH_POSITIONS
def test_packed_documents_equal_separate_ones_forward_and_backward(positions):
    model, tokens = sambay_da(positions), random_tokens(1, 30)
    weight, parts = torch.randn(1, 30, 61, dtype=torch.float64), [slice(0, 1), slice(1, 21), slice(21, 30)]

    def with_gradients(logits: Tensor) -> list[Tensor]:
        return [logits, *torch.autograd.grad((logits * weight).sum(), list(model.parameters()))]

    together = with_gradients(model(tokens, Segments.of_lengths([[1, 20, 9]])))
    apart = with_gradients(torch.cat([model(tokens[:, part]) for part in parts], 1))
    for a, b in zip(together, apart, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-9)


@BOTH_POSITIONS
@pytest.mark.parametrize("backend", ["auto", "reference"])
def test_prefill_of_ragged_prompts_and_steps_equal_one_forward(positions, backend):
    model = sambay_da(positions, **{"execution.backend": backend})
    tokens, lengths = random_tokens(3, 30), torch.tensor([4, 17, 1])
    with torch.no_grad():
        expected = model(tokens)
    cache, logits = model.prefill(tokens[:, :17], lengths)
    rows = torch.arange(3)
    for step in range(13):
        torch.testing.assert_close(logits, expected[rows, lengths - 1 + step], rtol=1e-9, atol=1e-11)
        logits = model.step(tokens[rows, lengths + step], cache)


def test_auto_and_reference_backends_agree_with_gradients():
    tokens, segments, found = random_tokens(2, 38), Segments.of_lengths([[20, 17], [37]]), []
    for backend in ("auto", "reference"):
        model = sambay_da(**{"execution.backend": backend})
        loss = model.loss(tokens[:, :-1], tokens[:, 1:], segments)
        found.append([loss, *torch.autograd.grad(loss, list(model.parameters()))])
    for a, b in zip(*found, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-8, atol=1e-11)


def test_a_pair_of_positions_costs_two_scores_and_two_values_of_twice_the_width():
    plain = small_model(architecture(("rest", [layer("attention")])), **HEADS).blocks[0].mixer
    for index, length, pairs in ((WRITER, 9, 5.0), (READER, 9, 5.0), (WINDOW, 9, (1 + 2 + 3 + 4 + 5 + 4 * 6) / 9)):
        # Two pairs of heads of 8, and in each two maps: 2·8 for a score, 2·16 for a value.
        expected = pairs * 2 * 2 * (2 * 8 + 2 * 16)
        assert sambay_da().blocks[index].mixer.flops_per_token(length) == pytest.approx(expected)
    assert sambay_da().blocks[WRITER].mixer.flops_per_token(9) == pytest.approx(1.5 * plain.flops_per_token(9))


@pytest.mark.parametrize(
    ("num_heads", "num_kv_heads", "message"),
    [
        (3, 1, r"num_heads = 3 is odd: .* use 2 or 4"),
        (1, 1, r"num_heads = 1 is odd: .* use 2"),
        (4, 1, r"num_kv_heads = 1 is odd: .* use 2"),
        (12, 3, r"num_kv_heads = 3 is odd: .* use 2 or 4"),
        (10, 5, r"num_kv_heads = 5 is odd: .* use 2 or 10"),
    ],
)
@pytest.mark.parametrize("mixer", ["differential_attention", "differential_window_attention"])
def test_heads_that_make_no_pairs_are_refused_with_the_nearest_numbers_that_do(mixer, num_heads, num_kv_heads, message):
    changes = {"scale.num_heads": num_heads, "scale.num_kv_heads": num_kv_heads}
    with pytest.raises(UserError, match=rf"layer 0, mixer {mixer}: {message}$"):
        small_model(architecture(("rest", [layer(mixer)])), **changes)


def test_cross_attention_refuses_shared_heads_that_make_no_pairs():
    stack = [(2, [layer("attention", "kv"), layer("differential_cross_attention")])]
    stack.append(("rest", [layer("attention")]))
    with pytest.raises(UserError, match=r"layer 1, .*: num_kv_heads = 1 is odd: .* use 2$"):
        small_model(architecture(*stack), **{**HEADS, "scale.num_kv_heads": 1})


def test_the_packaged_architecture_is_sambay_with_differential_attention():
    arch = load_config(["arch=sambay_da"]).arch
    assert diagram(expand(arch, 16)) == "MSMSMSMSM F GCGCGC"
    names = {entry.mixer for entry in expand(arch, 16)}
    assert {MIXERS[name] for name in names if "attention" in name} == {
        differential.DifferentialAttention,
        differential.DifferentialWindowAttention,
        differential.DifferentialCrossAttention,
    }
