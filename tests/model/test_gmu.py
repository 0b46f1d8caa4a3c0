import pytest
import torch
from torch import Generator, Tensor

from archscale.model.cache import Prompt
from archscale.model.mixers.base import Place, build_mixer
from archscale.model.mixers.gmu import GatedMemoryUnit, GatedMemoryUnitConfig
from archscale.registry import UserError
from tests.model.architectures import architecture, layer, packaged, paper_scale

WIDTH, MEMORY = 12, 20


def mixer_of(normalized: bool) -> GatedMemoryUnit:
    place = Place(layer=1, width=WIDTH, shared_widths={"memory": MEMORY}, norm_eps=0.01)
    mixer = GatedMemoryUnit(GatedMemoryUnitConfig(normalized=normalized), place)
    generator = Generator().manual_seed(0)
    for parameter in mixer.parameters():
        torch.nn.init.uniform_(parameter, 0.1, 1.0, generator=generator)
    return mixer.double()


def random_input(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=Generator().manual_seed(len(shape)))


def test_normalized_output_equals_its_equation_and_its_gradient_finite_differences():
    mixer, x, memory = mixer_of(True), random_input(2, 5, WIDTH), random_input(2, 5, MEMORY).requires_grad_()
    gate = x @ mixer.gate.weight.t()
    gated = memory * gate / (1 + torch.exp(-gate))
    normal = gated / torch.sqrt((gated**2).sum(-1, keepdim=True) / MEMORY + 0.01)
    expected = (normal * mixer.gain_M) @ mixer.output.weight.t()
    torch.testing.assert_close(mixer(x, {"memory": memory}, None), expected, rtol=1e-12, atol=1e-12)
    x.requires_grad_()
    assert torch.autograd.gradcheck(lambda x, memory: mixer(x, {"memory": memory}, None), (x[:1, :2], memory[:1, :2]))


def test_the_norm_takes_the_size_of_a_token_s_memory_away_and_the_plain_unit_keeps_it():
    x, memory = random_input(2, 5, WIDTH), 100 * random_input(2, 5, MEMORY)
    for normalized, factor in ((True, 1.0), (False, 3.0)):
        mixer = mixer_of(normalized)
        once, thrice = (mixer(x, {"memory": scale * memory}, None) for scale in (1, 3))
        torch.testing.assert_close(thrice, factor * once, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("normalized", [False, True])
def test_prefill_and_steps_equal_forward_and_keep_nothing(normalized):
    mixer, x, memory = mixer_of(normalized), random_input(2, 5, WIDTH), random_input(2, 5, MEMORY)
    expected = mixer(x, {"memory": memory}, None)
    output, cache = mixer.prefill(x, {"memory": memory}, Prompt(torch.tensor([5, 5]), 5))
    assert cache is None
    torch.testing.assert_close(output, expected, rtol=1e-12, atol=1e-12)
    for t in range(5):
        step = mixer.step(x[:, t], {"memory": memory[:, t]}, None, torch.full((2,), t))
        torch.testing.assert_close(step, expected[:, t], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("normalized", [False, True])
def test_its_parameters_are_two_matrices_and_the_gain_of_the_norm(normalized):
    sizes = {name: tuple(p.shape) for name, p in mixer_of(normalized).named_parameters()}
    gain = {"gain_M": (MEMORY,)} if normalized else {}
    assert sizes == {"gate.weight": (MEMORY, WIDTH), "output.weight": (WIDTH, MEMORY), **gain}
    assert mixer_of(normalized).flops_per_token(1) == (5 if normalized else 1) * MEMORY


def test_both_backends_agree():
    place = {"layer": 1, "width": WIDTH, "shared_widths": {"memory": MEMORY}}
    x, memory = random_input(2, 5, WIDTH), random_input(2, 5, MEMORY)
    config, outputs = GatedMemoryUnitConfig(normalized=True), []
    for backend in ("auto", "reference"):
        mixer = GatedMemoryUnit(config, Place(backend=backend, **place)).double()
        mixer.load_state_dict(mixer_of(True).state_dict())
        outputs.append(mixer(x, {"memory": memory}, None))
    torch.testing.assert_close(*outputs, rtol=1e-12, atol=1e-12)


def test_an_unknown_option_is_refused_with_the_near_name():
    arch, place = architecture(("rest", [layer("gmu")])), Place(layer=1, width=WIDTH, shared_widths={"memory": MEMORY})
    with pytest.raises(UserError, match="layer 1, mixer gmu.*normalized"):
        build_mixer(layer("gmu", normalised=True), place, arch, paper_scale(packaged("sambay"), depth=8))
