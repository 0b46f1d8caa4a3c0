from collections import Counter
from math import sqrt

import pytest
import torch
from torch.nn.functional import softplus

from archscale.compose import groups
from archscale.model.initialize import initialize
from archscale.model.lm import LanguageModel
from tests.model.architectures import packaged, sambay, small_model, small_run, transformer_pp

HEADS = {"scale.num_heads": 4, "scale.num_kv_heads": 2}


def built(arch, **changes) -> LanguageModel:
    spec = small_run(arch, **{"scale.width": 48, **changes})
    model = LanguageModel(spec)
    initialize(model, spec)
    return model


def test_every_parameter_has_the_role_of_table_6():
    roles = {name: p.role for name, p in built(sambay(tie_embeddings=False)).named_parameters()}
    expected = {"embedding.weight": "embedding", "head.weight": "unembedding"}
    for name, role in roles.items():
        default = "hidden" if name.endswith(".weight") else "vector"
        assert role == expected.get(name, default), name
    vectors = Counter(name.rsplit(".", 1)[-1] for name, role in roles.items() if role == "vector")
    mamba = dict.fromkeys(["conv_weight_DK", "conv_bias_D", "step_bias_D", "A_log_DN", "skip_D"], 3)
    assert vectors == {"gain": 17, **mamba}


def test_hidden_matrices_are_uniform_within_one_over_root_fan_in():
    for name, p in built(sambay()).named_parameters():
        if p.role != "hidden":
            continue
        bound = 1 / sqrt(p.shape[1])
        assert p.abs().max() <= bound, name
        assert p.abs().max() > 0.95 * bound, name
        # Standard error of the mean of n uniform numbers is bound / √(3n); of the variance about 0.9 of it per √n.
        assert abs(p.mean().item()) < 4.5 * bound / sqrt(3 * p.numel()), name
        assert p.var().item() == pytest.approx(bound**2 / 3, rel=4.5 * 0.9 / sqrt(p.numel())), name


def deviations(**changes) -> dict[bool, list[float]]:
    """Of the hidden matrices without a scheme of their own, by whether they are output projections."""
    drawn = [p for p in built(sambay(), **changes).parameters() if p.role == "hidden" and p.own is None]
    return {output: [p.std().item() for p in drawn if p.output == output] for output in (True, False)}


@pytest.mark.parametrize(
    ("changes", "inner", "outer"),
    [
        ({"parametrization.name": "sp"}, 0.02, 0.02 / sqrt(16)),
        ({"parametrization.name": "sp", "parametrization.hidden_std": 0.1}, 0.1, 0.1 / sqrt(16)),
        ({"parametrization.hidden_init": "normal"}, 0.02 * sqrt(16 / 48), 0.02 * sqrt(16 / 48)),
        (
            {"parametrization.hidden_init": "normal", "parametrization.small_output_init": True},
            0.02 * sqrt(16 / 48),
            0.02 * sqrt(16 / 48) / sqrt(16),
        ),
    ],
    ids=["sp", "sp with tau", "normal", "normal with small outputs"],
)
def test_normal_hidden_matrices_have_the_deviation_of_the_rules(changes, inner, outer):
    found = deviations(**changes)
    # The smallest matrix has 48 · 3 numbers: the standard error of its deviation is 6 %.
    assert found[False] == pytest.approx([inner] * len(found[False]), rel=0.2)
    assert found[True] == pytest.approx([outer] * len(found[True]), rel=0.1)


def test_small_outputs_divide_the_uniform_ones_by_the_root_of_twice_the_depth():
    plain = dict(built(sambay()).named_parameters())
    for name, p in built(sambay(), **{"parametrization.small_output_init": True}).named_parameters():
        torch.testing.assert_close(p, plain[name] / 4 if p.output else plain[name], rtol=1e-6, atol=0)


@pytest.mark.parametrize("name", groups()["arch"])
def test_output_projections_are_the_two_matrices_that_carry_a_block_to_the_residual_stream(name):
    model = small_model(packaged(name), **HEADS)
    tokens = torch.arange(40).view(2, 20)
    with torch.no_grad():
        embedded = model.embedding(tokens)
        assert not torch.allclose(model(tokens), model._logits(embedded))
        for block in model.blocks:
            outputs = [p for p in block.parameters() if p.output]
            assert [p.role for p in outputs] == ["hidden"] * 2
            assert {p.shape[0] for p in outputs} == {model.spec.scale.width}
            for p in outputs:
                p.zero_()
        torch.testing.assert_close(model(tokens), model._logits(embedded), rtol=0, atol=0)
    assert not model.embedding.weight.output


def test_embeddings_are_normal_and_the_untied_head_is_zero():
    tied, untied = built(transformer_pp()), built(transformer_pp(tie_embeddings=False))
    assert tied.embedding.weight.std().item() == pytest.approx(0.02, rel=0.06)
    assert untied.embedding.weight.std().item() == pytest.approx(1e-4, rel=0.06)
    assert untied.head is not None
    assert untied.head.weight.abs().max() == 0


def test_mamba_starts_from_its_own_scheme():
    mixer = built(sambay()).blocks[0].mixer
    step = softplus(mixer.step_bias_D).detach()
    assert step.min() >= 0.999e-3
    assert step.max() <= 0.1001
    assert step.log().mean().item() == pytest.approx(torch.tensor([1e-3, 0.1]).log().mean().item(), abs=0.5)
    torch.testing.assert_close(mixer.A_log_DN.exp(), torch.arange(1.0, 17).expand(96, 16))
    assert torch.equal(mixer.skip_D, torch.ones(96))
    assert mixer.delta.weight.shape == (96, 3)
    assert 0.9 * 3**-0.5 < mixer.delta.weight.abs().max() <= 3**-0.5
    assert 0.45 < mixer.conv_weight_DK.abs().max() <= 0.5


def test_the_seed_decides_and_the_order_of_creation_does_not():
    first, again, other = (dict(built(sambay(), seed=seed).named_parameters()) for seed in (3, 3, 4))
    assert all(torch.equal(p, again[name]) for name, p in first.items())
    drawn = [name for name, p in first.items() if p.unique().numel() > 16]
    assert not any(torch.equal(first[name], other[name]) for name in drawn)
    alone = dict(built(sambay(tie_embeddings=False), seed=3).named_parameters())
    shared = [name for name in first if name != "embedding.weight"]
    assert all(torch.equal(first[name], alone[name]) for name in shared)


def test_no_two_parameters_share_their_numbers():
    blocks = built(transformer_pp()).blocks
    assert not torch.equal(blocks[0].mlp.gate.weight, blocks[0].mlp.up.weight)
    assert not torch.equal(blocks[0].mlp.gate.weight, blocks[1].mlp.gate.weight)


def test_a_parameter_without_a_role_is_refused():
    spec = small_run(transformer_pp())
    model = LanguageModel(spec)
    model.extra = torch.nn.Linear(2, 2)
    with pytest.raises(TypeError, match=r"extra\.weight has no role"):
        initialize(model, spec)
