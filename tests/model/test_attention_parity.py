"""Attention, differential attention and the whole Transformer++ against `transformers`, an implementation of its own.

Its models compute softmax, norms and rotary tables in float32 whatever they are given. In the comparison in float64
these casts become casts to float64; everything else of it runs as it is.
"""

from collections.abc import Callable

import pytest
import torch
from torch import Generator, Tensor, nn

from archscale.compose import load_config
from archscale.model.lm import LanguageModel, ModelSpec
from archscale.model.mixers.attention import AttentionConfig
from archscale.model.mixers.base import Place
from archscale.model.mixers.differential import DifferentialAttention
from archscale.spec import ScaleSpec

LENGTH, EPS, ROPE_BASE = 37, 1e-5, 10_000.0
PRECISIONS = pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-10)])


@pytest.fixture
def peer_precision(dtype, monkeypatch):
    """Whatever says float32 means `dtype`."""
    if dtype == torch.float64:
        for name in ("float32", "float"):
            monkeypatch.setattr(torch, name, torch.float64)
        monkeypatch.setattr(Tensor, "float", Tensor.double)


def fill(model: nn.Module) -> None:
    generator = Generator().manual_seed(0)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.normal_(0, 0.2, generator=generator)
            if name.endswith("gain"):
                parameter.add_(1.0)


def random(*shape: int, seed: int, dtype: torch.dtype) -> Tensor:
    return torch.randn(shape, generator=Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def differ(ours: Tensor, theirs: Tensor) -> float:
    assert ours.dtype == theirs.dtype
    return ((ours - theirs).norm() / theirs.norm()).item()


def diff_llama_weights(mixer: DifferentialAttention) -> dict[str, Tensor]:
    """The first halves of its heads are the first heads of our pairs; our gain goes into its output projection."""
    c, weights = mixer.config, dict(mixer.named_parameters())
    heads = mixer.query_key_value.weight.unflatten(0, (-1, c.head_dim))
    projections = heads.split([c.num_heads, c.num_kv_heads, c.num_kv_heads])
    q, k, v = (torch.cat([part[0::2], part[1::2]]).flatten(0, 1) for part in projections)
    output = mixer.output.weight * weights["core.norm.gain"].repeat(c.num_heads // 2)
    mixes = {f"lambda_{side[0]}{i}": weights[f"core.mix_{side}{i}_K"] for side in ("query", "key") for i in (1, 2)}
    projected = {"q_proj.weight": q, "k_proj.weight": k, "v_proj.weight": v, "o_proj.weight": output}
    return {name: weight.detach() for name, weight in {**projected, **mixes}.items()}


@PRECISIONS
@pytest.mark.parametrize("positions", ["rope", "none"])
@pytest.mark.parametrize("num_kv_heads", [8, 4, 2])
@pytest.mark.usefixtures("peer_precision")
def test_differential_attention_equals_that_of_diff_llama(num_kv_heads, positions, dtype, tolerance):
    peer_module = pytest.importorskip("transformers.models.diffllama.modeling_diffllama")
    config = AttentionConfig(
        num_heads=8, num_kv_heads=num_kv_heads, head_dim=6, positions=positions, rope_base=ROPE_BASE
    )
    mixer = DifferentialAttention(config, Place(layer=3, width=16)).to(dtype)
    fill(mixer)
    peer_config = peer_module.DiffLlamaConfig(
        hidden_size=16,
        num_attention_heads=8,
        num_key_value_heads=num_kv_heads,
        head_dim=6,
        rms_norm_eps=EPS,
        rope_parameters={"rope_type": "default", "rope_theta": ROPE_BASE},
        attn_implementation="eager",
    )
    peer = peer_module.DiffLlamaAttention(peer_config, layer_idx=3).to(dtype)
    peer.load_state_dict(diff_llama_weights(mixer))
    x = random(2, LENGTH, 16, seed=1, dtype=dtype).requires_grad_()
    rotary = peer_module.DiffLlamaRotaryEmbedding(peer_config)
    turn, stay = rotary(x, torch.arange(LENGTH)[None]), (x.new_ones(1, LENGTH, 6), x.new_zeros(1, LENGTH, 6))
    mask = x.new_full((LENGTH, LENGTH), -torch.inf).triu(1)[None, None]
    theirs, _ = peer(x, turn if positions == "rope" else stay, mask)
    ours, weight = mixer(x, {}, None), random(2, LENGTH, 16, seed=2, dtype=dtype)
    assert differ(ours, theirs) <= tolerance
    mixes = [mixer.core.mix_query1_K, mixer.core.mix_key2_K], [peer.lambda_q1, peer.lambda_k2]
    gradients = [
        torch.autograd.grad(y, [x, *vectors], weight) for y, vectors in zip((ours, theirs), mixes, strict=True)
    ]
    for a, b in zip(*gradients, strict=True):
        assert differ(a, b) <= tolerance


def transformer_pp(dtype: torch.dtype, *, tied: bool) -> LanguageModel:
    arch = load_config(["arch=transformer_pp", f"arch.tie_embeddings={tied}"]).arch
    scale = ScaleSpec(depth=8, width=16, head_dim=6, num_heads=4, num_kv_heads=2, base_depth=8, base_width=16.0)
    model = LanguageModel(ModelSpec(arch=arch, scale=scale, vocab_size=61)).to(dtype)
    fill(model)
    return model


def under_llama_names(model: LanguageModel, read: Callable[[Tensor], Tensor | None]) -> dict[str, Tensor]:
    """What `read` finds of every parameter, cut and named as Llama's parameters are."""
    found = {"model.embed_tokens.weight": read(model.embedding.weight), "model.norm.weight": read(model.norm.gain)}
    found["lm_head.weight"] = read(model.embedding.weight if model.head is None else model.head.weight)
    for index, block in enumerate(model.blocks):
        mixer, head = block.mixer, f"model.layers.{index}"
        c = mixer.config
        sizes = [heads * c.head_dim for heads in (c.num_heads, c.num_kv_heads, c.num_kv_heads)]
        for name, part in zip("qkv", read(mixer.query_key_value.weight).split(sizes), strict=True):
            found[f"{head}.self_attn.{name}_proj.weight"] = part
        found[f"{head}.self_attn.o_proj.weight"] = read(mixer.output.weight)
        for name in ("gate", "up", "down"):
            found[f"{head}.mlp.{name}_proj.weight"] = read(getattr(block.mlp, name).weight)
        found[f"{head}.input_layernorm.weight"] = read(block.mixer_norm.gain)
        found[f"{head}.post_attention_layernorm.weight"] = read(block.mlp_norm.gain)
    return found


@PRECISIONS
@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.usefixtures("peer_precision")
def test_logits_and_every_gradient_of_transformer_pp_equal_those_of_llama(tied, dtype, tolerance):
    peer_module = pytest.importorskip("transformers.models.llama.modeling_llama")
    model = transformer_pp(dtype, tied=tied)
    peer = peer_module.LlamaForCausalLM(
        peer_module.LlamaConfig(
            vocab_size=61,
            hidden_size=16,
            intermediate_size=64,
            num_hidden_layers=8,
            num_attention_heads=4,
            num_key_value_heads=2,
            head_dim=6,
            rms_norm_eps=EPS,
            rope_parameters={"rope_type": "default", "rope_theta": ROPE_BASE},
            tie_word_embeddings=tied,
            attn_implementation="eager",
        )
    ).to(dtype)
    peer.load_state_dict(under_llama_names(model, lambda parameter: parameter.detach()))
    tokens = torch.randint(0, 61, (2, LENGTH), generator=Generator().manual_seed(1))
    weight = random(2, LENGTH, 61, seed=2, dtype=dtype)
    ours, theirs = model(tokens), peer(tokens, use_cache=False).logits
    assert differ(ours, theirs) <= tolerance
    (ours * weight).sum().backward()
    (theirs * weight).sum().backward()
    expected = {name: parameter.grad for name, parameter in peer.named_parameters()}
    gradients = under_llama_names(model, lambda parameter: parameter.grad)
    assert gradients.keys() == expected.keys() | {"lm_head.weight"}
    for name, gradient in expected.items():
        assert differ(gradients[name], gradient) <= tolerance, name
