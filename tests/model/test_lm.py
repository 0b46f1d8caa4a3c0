from copy import deepcopy
from math import log

import pytest
import torch

from archscale.compose import groups
from archscale.model.initialize import initialize
from archscale.model.lm import LanguageModel
from archscale.scaling.count import count_parameters
from tests.model.architectures import packaged, paper_scale, sambay, small_model, small_run, transformer_pp

ARCHITECTURES = pytest.mark.parametrize("arch", [transformer_pp(), sambay()], ids=["transformer_pp", "sambay"])


def random_tokens(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randint(0, 61, shape, generator=torch.Generator().manual_seed(seed))


@ARCHITECTURES
def test_the_loss_is_the_mean_negative_log_likelihood(arch):
    model, tokens, targets = small_model(arch), random_tokens(2, 9), random_tokens(2, 9, seed=1)
    probabilities = model(tokens).softmax(-1)
    chosen = [probabilities[b, t, targets[b, t]].log() for b in range(2) for t in range(9)]
    torch.testing.assert_close(model.loss(tokens, targets), -sum(chosen) / 18, rtol=1e-12, atol=1e-12)


@ARCHITECTURES
@pytest.mark.parametrize(("tied", "tolerance"), [(True, 0.02), (False, 1e-6)])
def test_the_loss_at_init_is_that_of_a_uniform_guess(arch, tied, tolerance):
    spec = small_run(deepcopy(arch), **{"arch.tie_embeddings": tied})
    model = LanguageModel(spec)
    initialize(model, spec)
    loss = model.loss(random_tokens(4, 64), random_tokens(4, 64, seed=1))
    assert loss.dtype == torch.float32
    assert abs(loss.item() - log(61)) < tolerance


@ARCHITECTURES
def test_two_training_steps_give_the_same_bits_twice(arch):
    threads = torch.get_num_threads()
    torch.set_num_threads(1)

    def trained() -> list[torch.Tensor]:
        spec = small_run(arch)
        model = LanguageModel(spec)
        initialize(model, spec)
        optimizer = torch.optim.AdamW(model.parameters(), 1e-2)
        for step in range(2):
            optimizer.zero_grad()
            model.loss(random_tokens(4, 50, seed=step), random_tokens(4, 50, seed=step + 9)).backward()
            optimizer.step()
        return [p.detach().clone() for p in model.parameters()]

    try:
        assert all(torch.equal(a, b) for a, b in zip(trained(), trained(), strict=True))
    finally:
        torch.set_num_threads(threads)


def test_multipliers_scale_the_residual_branches_and_the_logits():
    arch = transformer_pp()
    narrow = small_model(arch, **{"scale.base_width": 16.0})
    wide = small_model(arch, **{"scale.base_width": 8.0})
    tokens = random_tokens(1, 12)
    torch.testing.assert_close(narrow(tokens) * 0.5, wide(tokens), rtol=1e-12, atol=1e-12)
    x = torch.randn(1, 5, 16, dtype=torch.float64)
    block = narrow.blocks[0]
    middle = x + block.mixer(block.mixer_norm(x), {}, None) / 4
    torch.testing.assert_close(block(x, {}, None), middle + block.mlp(block.mlp_norm(middle))[0] / 4)


def test_a_copied_model_keeps_the_roles():
    model = small_model(sambay())
    roles = {name: (p.role, p.fan_in) for name, p in deepcopy(model).named_parameters()}
    assert roles == {name: (p.role, p.fan_in) for name, p in model.named_parameters()}


# Counted on real modules, in millions: non-embedding at depth 16, section 3.1 of arXiv 2507.06607.
MILLIONS = {
    "transformer_pp": 973.1,
    "swa_yoco": 988.4,
    "samba_yoco": 1009.7,
    "sambay": 1002.3,
    "sambay_2": 1005.0,
    "sambay_a": 1009.7,
    "sambay_aa": 1009.7,
    "sambay_mlp": 985.3,
    "mambay": 994.8,
    "mambay_2": 1006.6,
    "gdny": 989.5,
    "sgdny": 1018.1,
}


@pytest.mark.parametrize("name", MILLIONS)
def test_parameters_of_the_papers_models(name):
    arch = packaged(name)
    width = 16 * arch.aspect_ratio
    count = count_parameters(arch, paper_scale(arch, 16), 32_000)
    assert round(count.non_embedding / 1e6, 1) == MILLIONS[name]
    assert count.embedding == 32_000 * width
    assert count.mlp == 16 * 12 * width**2
    assert count.norm == 33 * width
    assert count.total == count.embedding + count.head + count.mixer + count.mlp + count.norm


def test_parameters_of_the_released_model():
    arch = packaged("phi4_mini_flash")
    scale = paper_scale(arch, 32, head_dim=64)
    assert (scale.width, scale.num_heads, scale.num_kv_heads) == (2560, 40, 20)
    count = count_parameters(arch, scale, 200_064)
    assert round(count.non_embedding / 1e6, 1) == 3340.4
    assert round(count.total / 1e6, 1) == 3852.6


def test_differential_attention_adds_768_parameters_a_layer():
    plain, differential = (
        count_parameters(packaged(name), paper_scale(packaged(name), 16), 32_000) for name in ("sambay", "sambay_da")
    )
    attention_layers = 4 + 1 + 3
    assert differential.non_embedding == plain.non_embedding + 768 * attention_layers


@pytest.mark.parametrize("depth", [8, 12, 16, 20, 24])
@pytest.mark.parametrize("name", groups()["arch"])
def test_every_preset_builds_at_every_depth_of_the_paper(name, depth):
    arch = packaged(name)
    count = count_parameters(arch, paper_scale(arch, depth), 32_000)
    assert count.non_embedding == pytest.approx(237_568 * depth**3, rel=0.08 if name != "phi4_mini_flash" else 0.6)


def test_an_untied_head_counts_by_itself_and_a_tied_one_once():
    tied, untied = (
        count_parameters(transformer_pp(tie_embeddings=tie), small_run(transformer_pp()).scale, 1000)
        for tie in (True, False)
    )
    assert (tied.head, untied.head) == (0, tied.embedding)
    assert untied.total == tied.total + untied.head
    assert untied.embedding == tied.embedding
    assert untied.non_embedding == tied.non_embedding


def test_counts_equal_the_built_model():
    spec = small_run(sambay())
    count = count_parameters(spec.arch, spec.scale, spec.data.vocab_size)
    assert count.total == sum(p.numel() for p in LanguageModel(spec).parameters())
