from collections import Counter
from math import sqrt

import pytest
import torch
from torch.nn.functional import softplus

from archscale.model.initialize import initialize
from archscale.model.lm import LanguageModel
from tests.model.architectures import sambay, small_run, transformer_pp


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
