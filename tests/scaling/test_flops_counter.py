"""Surveys of whole models against the matrix products that torch's FLOP counter sees, forward and backward."""

import pytest
import torch

from archscale.compose import groups
from archscale.model.layers import Linear
from archscale.model.lm import LanguageModel
from archscale.model.mixers import Mixer
from archscale.model.mixers.attention import Attention, CrossAttention, pairs_per_token
from archscale.model.mixers.gated_deltanet import GatedDeltaNet
from archscale.model.mixers.gmu import GatedMemoryUnit
from archscale.model.mixers.mamba import Mamba
from archscale.model.mixers.mamba2 import Mamba2
from archscale.ops.causal_attention import NARROW_BLOCK
from archscale.ops.gated_delta_rule import CHUNK_TOKENS
from archscale.ops.gated_delta_rule.products import gated_delta_rule_products
from archscale.ops.ssd_scan.products import ssd_scan_products
from archscale.scaling.survey import survey
from tests.model.architectures import packaged, small_run, transformer_pp
from tests.model.flop_counting import product_flops

# No multiple of the chunks and blocks of 16 and 32 tokens.
ROWS, LENGTH = 2, 75
HEADS = {"scale.num_heads": 4, "scale.num_kv_heads": 2, "execution.backend": "torch"}


def multiplied_pairs(window: int | None) -> float:
    """A token, with the hidden ones of the query blocks that attention runs in."""
    pairs = 0
    for start in range(0, LENGTH, NARROW_BLOCK):
        stop = min(start + NARROW_BLOCK, LENGTH)
        first = 0 if window is None else max(0, start - window + 1)
        pairs += (stop - start) * (stop - first)
    return pairs / LENGTH


def products(mixer: Mixer) -> tuple[float, float]:
    """Forward and backward products of a token beside the Linear layers."""
    match mixer:
        case Attention() | CrossAttention():
            window = mixer.window if isinstance(mixer, Attention) else None
            forward = mixer.core.flops_per_pair(mixer.config) * multiplied_pairs(window)
            return forward, 2 * forward
        case Mamba():
            # The readout; on the way back C, B and Δ x have a product each.
            forward = 2 * mixer.A_log_DN.numel()
            return forward, 3 * forward
        case Mamba2():
            sizes = {"heads": mixer.heads, "channels": mixer.channels // mixer.heads, "size": mixer.split[1]}
            forward = ssd_scan_products(LENGTH, **sizes) / LENGTH
            return forward, 2 * forward
        case GatedDeltaNet():
            sizes = {"heads": mixer.heads, "key": mixer.key, "value": mixer.value}
            forward = gated_delta_rule_products(LENGTH, **sizes) / LENGTH
            chunks = -(-LENGTH // CHUNK_TOKENS)
            inverse = mixer.heads * chunks * (-(-LENGTH // chunks)) ** 3 / LENGTH
            return forward, 2 * (forward - inverse)
        case GatedMemoryUnit():
            return 0, 0
    raise NotImplementedError(type(mixer))


@pytest.mark.parametrize("name", sorted(groups()["arch"]))
@pytest.mark.parametrize("tied", [True, False])
def test_products_of_every_architecture_forward_and_backward(name, tied):
    spec = small_run(packaged(name, tie_embeddings=tied), **HEADS)
    model = LanguageModel(spec)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0, 0.02)
    found = survey(spec.arch, spec.scale, spec.data.vocab_size, LENGTH)
    mixers = [block.mixer for block in model.blocks]
    elementwise = [mixer.chunked_flops_per_token(LENGTH) - work(mixer) for mixer in mixers]
    elementwise += [part.bias.numel() for part in model.modules() if isinstance(part, Linear) and part.bias is not None]
    with_weights = found.chunked_mixer - sum(elementwise) - sum(work(mixer) for mixer in mixers)
    gates = spec.scale.depth * spec.arch.mlp_ratio * spec.scale.width
    with_weights += found.forward.mlp - gates + found.forward.head
    tokens_BT, losses = torch.randint(0, 61, (ROWS, LENGTH + 1)), []
    forward = product_flops(lambda: losses.append(model.loss(tokens_BT[:, :-1], tokens_BT[:, 1:])))
    backward = product_flops(lambda: losses[0].backward())
    assert forward == pytest.approx(ROWS * LENGTH * (with_weights + sum(products(m)[0] for m in mixers)), rel=1e-12)
    assert backward == pytest.approx(
        ROWS * LENGTH * (2 * with_weights + sum(products(m)[1] for m in mixers)), rel=1e-12
    )


def work(mixer: Mixer) -> float:
    """The products that `chunked_flops_per_token` counts."""
    if isinstance(mixer, Attention | CrossAttention):
        return mixer.flops_per_token(LENGTH)
    return 0 if isinstance(mixer, Mamba) else products(mixer)[0]


def test_a_fused_attention_counts_as_if_nothing_were_hidden():
    """Heads of more than 64 take the fused kernel, whose way back has five products for the two of the way there."""
    spec = small_run(transformer_pp(), **{**HEADS, "scale.head_dim": 72, "scale.num_heads": 2, "scale.num_kv_heads": 2})
    mixer = LanguageModel(spec).blocks[0].mixer
    with torch.no_grad():
        for parameter in mixer.parameters():
            parameter.normal_(0, 0.02)
    x, outputs = torch.randn(ROWS, LENGTH, 16, requires_grad=True), []
    forward = product_flops(lambda: outputs.append(mixer(x, {}, None)))
    backward = product_flops(lambda: outputs[0].sum().backward())
    linear = 2 * (mixer.query_key_value.weight.numel() + mixer.output.weight.numel())
    square = mixer.flops_per_token(LENGTH) * LENGTH / pairs_per_token(LENGTH, None)
    assert forward == pytest.approx(ROWS * LENGTH * (linear + square))
    assert backward == pytest.approx(ROWS * LENGTH * (2 * linear + 2.5 * square))
