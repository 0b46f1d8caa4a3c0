"""FLOPs of mixers against a count of what their definitions really multiply and add."""

import pytest
import torch
from torch import Tensor

from archscale.model.layers import Linear
from archscale.model.mixers.attention import pairs_per_token
from archscale.ops.causal_attention.reference import visible
from archscale.ops.gated_delta_rule import gated_delta_rule
from archscale.ops.gated_delta_rule.products import gated_delta_rule_products
from archscale.ops.ssd_scan import chunk_tokens, ssd_scan
from archscale.ops.ssd_scan.products import ssd_scan_products
from tests.model.architectures import architecture, layer, small_model
from tests.model.flop_counting import Arithmetic, product_flops

LENGTH = 24


def counted(mixer: torch.nn.Module, x: Tensor, shared: dict[str, Tensor]) -> float:
    """Per token, without the Linear layers."""
    with torch.no_grad(), Arithmetic() as arithmetic:
        mixer(x, shared, None)
    linear = sum(2 * module.weight.numel() for module in mixer.modules() if isinstance(module, Linear))
    return arithmetic.count / x[..., 0].numel() - linear


def mixer_of(name: str, **options) -> tuple[torch.nn.Module, Tensor, dict[str, Tensor]]:
    spans = [(1, [layer("mamba", "memory")])] if name == "gmu" else []
    arch = architecture(*spans, ("rest", [layer(name, **options)]))
    heads = {"scale.num_heads": 4, "scale.num_kv_heads": 2}
    model = small_model(arch, **heads, **{"execution.backend": "reference"})
    x, shared = torch.randn(2, LENGTH, 16, dtype=torch.float64), {}
    if spans:
        model.blocks[0].mixer(x, shared, None)
    return model.blocks[len(spans)].mixer, x, {key: tensor.detach() for key, tensor in shared.items()}


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("mamba", {}),
        ("mamba", {"state_size": 5, "conv_size": 2}),
        ("mamba2", {}),
        ("mamba2", {"state_size": 24, "head_dim": 2}),
        ("gated_deltanet", {}),
        ("gated_deltanet", {"key_head_dim": 6, "num_heads": 3}),
        ("gmu", {}),
        ("gmu", {"normalized": True}),
    ],
)
def test_recurrences_and_gates_count_as_their_definitions_do(name, options):
    mixer, x, shared = mixer_of(name, **options)
    assert mixer.flops_per_token(LENGTH) == pytest.approx(counted(mixer, x, shared), rel=0.03)


@pytest.mark.parametrize(("length", "window"), [(1, None), (24, None), (24, 6), (5, 6), (24, 24), (24, 1)])
def test_pairs_are_those_of_the_mask(length, window):
    mask = visible(length, window=window, document_BT=None, device=torch.device("cpu"))
    assert pairs_per_token(length, window) == pytest.approx(mask.sum().item() / length)


@pytest.mark.parametrize(("kind", "more"), [("attention", 1), ("differential_attention", 3 / 2)])
@pytest.mark.parametrize("window", [None, 6])
def test_attention_counts_the_products_of_visible_pairs(kind, more, window):
    """The definition multiplies hidden pairs as well: its products are scaled to the visible ones.

    That of differential attention subtracts the maps before they meet the values; without maps in memory each meets
    them by itself, one product more to its two.
    """
    name = kind if window is None else kind.replace("attention", "window_attention")
    mixer, x, _ = mixer_of(name)
    heads = mixer._project(x)
    with torch.no_grad(), Arithmetic(only_products=True) as products:
        mixer.core(*heads, window, None)
    visible_share = pairs_per_token(LENGTH, window) / LENGTH
    assert mixer.flops_per_token(LENGTH) == pytest.approx(products.count / (2 * LENGTH) * visible_share * more)


@pytest.mark.parametrize("length", [2, 15, 16, 17, 64, 100])
@pytest.mark.parametrize(("heads", "channels", "size"), [(1, 2, 3), (3, 8, 16), (2, 32, 64)])
def test_chunks_of_state_space_duality_multiply_what_they_are_counted_for(heads, channels, size, length):
    sizes = [(2, length, heads, channels), (2, length, heads), (heads,), (2, length, size), (2, length, size), (heads,)]
    inputs = [torch.rand(shape, dtype=torch.float64, requires_grad=True) for shape in sizes]
    outputs: list[Tensor] = []
    expected = 2 * ssd_scan_products(length, heads=heads, channels=channels, size=size)
    assert product_flops(lambda: outputs.extend(ssd_scan(*inputs))) == expected
    backward = product_flops(lambda: outputs[0].sum().backward())
    # A single chunk neither hands a state on nor reads one.
    assert backward == 2 * expected if length > chunk_tokens(channels, size) else backward < 2 * expected


@pytest.mark.parametrize("length", [2, 31, 32, 33, 100])
@pytest.mark.parametrize(("heads", "key", "value"), [(1, 3, 5), (3, 16, 32), (2, 160, 32)])
def test_chunks_of_the_delta_rule_multiply_what_they_are_counted_for(heads, key, value, length):
    sizes = [(2, length, heads, key), (2, length, heads, key), (2, length, heads, value), *[(2, length, heads)] * 2]
    inputs = [torch.rand(shape, dtype=torch.float64).div(key).requires_grad_() for shape in sizes]
    outputs: list[Tensor] = []
    forward = product_flops(lambda: outputs.extend(gated_delta_rule(*inputs)))
    assert forward == 2 * gated_delta_rule_products(length, heads=heads, key=key, value=value)
    chunks = -(-length // (64 if key > 128 else 32))
    inverses = 2 * heads * chunks * (-(-length // chunks)) ** 3
    assert product_flops(lambda: outputs[0].sum().backward()) == 2 * (forward - inverses)


@pytest.mark.parametrize("name", ["mamba2", "gated_deltanet"])
def test_chunked_and_defined_recurrences_differ_in_nothing_but_the_state(name):
    """Per entry of the state Mamba-2 takes 5, Gated DeltaNet 7; a single token runs as it is defined."""
    mixer, *_ = mixer_of(name)
    if name == "mamba2":
        state, products = 5 * mixer.channels * mixer.split[1], ssd_scan_products
        sizes = {"heads": mixer.heads, "channels": mixer.channels // mixer.heads, "size": mixer.split[1]}
    else:
        state, products = 7 * mixer.heads * mixer.key * mixer.value, gated_delta_rule_products
        sizes = {"heads": mixer.heads, "key": mixer.key, "value": mixer.value}
    around = mixer.flops_per_token(LENGTH) - state
    assert mixer.chunked_flops_per_token(LENGTH) == pytest.approx(around + products(LENGTH, **sizes) / LENGTH)
    assert mixer.chunked_flops_per_token(1) == mixer.flops_per_token(1)


def test_only_attention_has_products_of_attention():
    for name in ("attention", "differential_window_attention"):
        mixer, *_ = mixer_of(name)
        assert mixer.attention_flops_per_token(LENGTH) == mixer.flops_per_token(LENGTH) > 0
    for name in ("mamba", "mamba2", "gated_deltanet", "gmu"):
        mixer, *_ = mixer_of(name)
        assert mixer.attention_flops_per_token(LENGTH) == 0 < mixer.flops_per_token(LENGTH)
