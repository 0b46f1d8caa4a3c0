"""Counts against the parameters of whole models; layers that are built once must not change them."""

import dataclasses

import pytest
import torch

import archscale.model.mixers
from archscale.compose import groups
from archscale.model.lm import LanguageModel, ModelSpec
from archscale.model.mixers import MIXERS, Place, build_mixer
from archscale.registry import UserError
from archscale.scaling import count as counting
from archscale.scaling.count import ParameterCount, Remembered, count_parameters
from archscale.scaling.survey import survey
from archscale.spec import ArchSpec, ScaleSpec
from tests.model.architectures import architecture, layer, packaged, paper_scale, sambay, small_run, transformer_pp

HEADS = {"scale.num_heads": 4, "scale.num_kv_heads": 2}
ARCHITECTURES = pytest.mark.parametrize("name", sorted(groups()["arch"]))


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the mixers that are built from here on, with nothing remembered."""
    names: list[str] = []
    build = archscale.model.mixers.build_mixer

    def record(layer, *rest):
        names.append(layer.mixer)
        return build(layer, *rest)

    monkeypatch.setattr(archscale.model.mixers, "build_mixer", record)
    monkeypatch.setattr(counting, "_COUNTS", Remembered())
    monkeypatch.setattr("archscale.scaling.survey._SURVEYS", Remembered())
    return names


def built_whole(arch: ArchSpec, scale: ScaleSpec, vocab_size: int) -> ParameterCount:
    with torch.device("meta"):
        model = LanguageModel(ModelSpec(arch=arch, scale=scale, vocab_size=vocab_size))
    sizes = dict.fromkeys(("embedding", "head", "mixer", "mlp", "norm"), 0)
    for name, parameter in model.named_parameters():
        part = next(part for part in name.split(".") if part != "blocks" and not part.isdigit())
        sizes["norm" if part.endswith("_norm") else part] += parameter.numel()
    return ParameterCount(**sizes)


@ARCHITECTURES
@pytest.mark.parametrize("tied", [True, False])
def test_counts_are_those_of_the_whole_model(name, tied):
    arch = packaged(name, tie_embeddings=tied)
    for scale in (paper_scale(arch, 8), paper_scale(arch, 12, width=1000), small_run(arch, **HEADS).scale):
        assert count_parameters(arch, scale, 61) == built_whole(arch, scale, 61)


@pytest.mark.parametrize(
    "arch",
    [
        architecture((4, [layer("mamba", state_size=3), layer("mamba")]), ("rest", [layer("mamba", state_size=5)])),
        architecture(
            (2, [layer("mamba", "memory", expand=3), layer("mamba")]), ("rest", [layer("gmu"), layer("mamba")])
        ),
        architecture(
            (1, [layer("attention", "kv", num_kv_heads=4)]), ("rest", [layer("cross_attention")]), norm="layer"
        ),
        architecture(("rest", [layer("attention")]), mixers={"attention": {"bias": True}}, mlp_ratio=3),
    ],
    ids=["options", "memory", "layer norm", "biases"],
)
def test_options_of_one_layer_count_for_that_layer_alone(arch):
    scale = small_run(arch, **HEADS).scale
    assert count_parameters(arch, scale, 61) == built_whole(arch, scale, 61)


@pytest.mark.parametrize(
    "arch",
    [
        transformer_pp(mixers={"atention": {"bias": True}}),
        transformer_pp(mixers={"mamba": {"expand": 1}}),
        transformer_pp(mixers={"attention": {"num_heads": 3}}),
        architecture((2, [layer("attention")]), ("rest", [layer("differential_attention", num_kv_heads=1)])),
        architecture(("rest", [layer("gmu")])),
        architecture((3, [layer("mamba")])),
    ],
)
def test_what_cannot_be_built_gives_the_error_of_the_model(arch):
    scale = small_run(transformer_pp(), **HEADS).scale
    with pytest.raises(UserError) as model_error:
        LanguageModel(ModelSpec(arch=arch, scale=scale, vocab_size=61))
    with pytest.raises(UserError) as count_error:
        count_parameters(arch, scale, 61)
    assert str(count_error.value) == str(model_error.value)


def test_equal_numbers_of_another_type_are_not_remembered_as_the_same():
    scale = small_run(transformer_pp()).scale
    count_parameters(transformer_pp(mixers={"attention": {"bias": True}}), scale, 61)
    with pytest.raises(UserError, match="attention: bias = 1"):
        count_parameters(transformer_pp(mixers={"attention": {"bias": 1}}), scale, 61)


def test_every_field_of_shape_and_stack_is_part_of_what_is_remembered():
    arch = sambay()
    scale = small_run(arch).scale
    first = count_parameters(arch, scale, 61)
    wider = dataclasses.replace(scale, width=20)
    longer = dataclasses.replace(
        arch, stack=(*arch.stack[:2], dataclasses.replace(arch.stack[2], tile=(layer("gmu"),)))
    )
    others = [(arch, wider, 61), (arch, scale, 62), (longer, scale, 61), (sambay(mlp_ratio=5), scale, 61)]
    others += [(sambay(norm="layer"), scale, 61), (sambay(tie_embeddings=False), scale, 61)]
    others += [(sambay(mixers={"mamba": {"expand": 3}}), scale, 61)]
    found = [count_parameters(*other) for other in others]
    assert len({first, *found}) == len(others) + 1
    assert found == [built_whole(*other) for other in others]


def test_a_mixer_is_built_once_for_all_layers_like_it(built):
    arch = sambay()
    for depth in (8, 24):
        built.clear()
        count_parameters(arch, dataclasses.replace(small_run(arch).scale, depth=depth), 61)
        assert sorted(built) == ["attention", "cross_attention", "gmu", "mamba", "window_attention"]


@pytest.mark.parametrize("name", sorted(MIXERS))
def test_neither_index_nor_what_it_writes_changes_a_mixer_in_size(name):
    arch = sambay()
    scale = small_run(arch, **HEADS).scale
    place = Place(layer=0, width=16, shared_widths={"memory": 24, "kv": 32}, kv_head_dim=8)
    plain, other = (
        build_mixer(layer(name), one, arch, scale)
        for one in (place, dataclasses.replace(place, layer=5, writes=MIXERS[name].writes))
    )
    assert [p.shape for p in plain.parameters()] == [p.shape for p in other.parameters()]
    for count in ("flops_per_token", "chunked_flops_per_token", "attention_flops_per_token"):
        assert getattr(plain, count)(40) == getattr(other, count)(40)
    for tensor in MIXERS[name].writes:
        assert plain.shared_width(tensor) == other.shared_width(tensor)
    assert plain.kv_head_dim == other.kv_head_dim


def test_one_build_serves_counts_and_surveys_of_equal_specs(built):
    scale = small_run(sambay()).scale
    found = survey(sambay(), scale, 61, 32)
    built.clear()
    assert count_parameters(sambay(title="another"), dataclasses.replace(scale), 61) is found.parameters
    assert survey(sambay(), scale, 61, 32) is found
    assert not built


def test_the_oldest_is_forgotten(monkeypatch):
    monkeypatch.setattr(counting, "REMEMBERED", 2)
    kept = Remembered()
    for number in range(4):
        kept[(number,)] = number
    assert list(kept) == [(2,), (3,)]
