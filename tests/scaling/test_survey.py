"""What surveys add to the products: norms, gates and residual branches, against a count of the arithmetic itself."""

import pytest
import torch

from archscale.model.block import Block
from archscale.model.layers import NORMS
from archscale.model.lm import LanguageModel
from archscale.scaling.survey import survey
from tests.model.architectures import architecture, layer, packaged, small_run
from tests.model.flop_counting import Arithmetic

LENGTH, WIDTH = 24, 16


def arithmetic(run) -> int:
    with torch.no_grad(), Arithmetic() as found:
        run()
    return found.count


def test_a_norm_takes_what_its_equation_does():
    x = torch.randn(LENGTH, WIDTH, dtype=torch.float64)
    gain, shift, rows = torch.randn(WIDTH).double(), torch.randn(WIDTH).double(), LENGTH

    def rms() -> None:
        x * (x * x).sum(-1, keepdim=True).div(WIDTH).add(1e-5).rsqrt() * gain

    def layer_norm() -> None:
        centred = x - x.sum(-1, keepdim=True).div(WIDTH)
        centred * (centred * centred).sum(-1, keepdim=True).div(WIDTH).add(1e-5).rsqrt() * gain + shift

    # A row divides, and adds ε, once for all of its numbers.
    assert arithmetic(rms) - 2 * rows == NORMS["rms"].flops_per_number * x.numel()
    assert arithmetic(layer_norm) - 3 * rows == NORMS["layer"].flops_per_number * x.numel()


class Silent(torch.nn.Module):
    """A mixer without any arithmetic."""

    def forward(self, x, shared, segments):
        return x


def test_a_block_takes_its_mlp_its_norms_and_its_branches():
    spec = small_run(architecture(("rest", [layer("attention")])))
    found = survey(spec.arch, spec.scale, 61, LENGTH)
    block = Block(Silent(), spec.arch, width=WIDTH, residual=0.5, mlp_writes=frozenset()).double()
    for norm in (block.mixer_norm, block.mlp_norm):
        norm.forward = lambda x: x
    x = torch.randn(1, LENGTH, WIDTH, dtype=torch.float64)
    # torch.add scales and adds in one operator, which counts as one here.
    branches = 2 * WIDTH * LENGTH
    counted = arithmetic(lambda: block(x, {}, None)) + branches
    norms = (2 * 8 + 1) * 4 * WIDTH + WIDTH
    assert counted == LENGTH * (found.forward.mlp + found.forward.norm - norms) / 8


@pytest.mark.parametrize("name", ["transformer_pp", "sambay", "sambay_2", "gdny", "phi4_mini_flash"])
def test_a_survey_is_the_sum_of_its_layers(name):
    spec = small_run(packaged(name), **{"scale.num_heads": 4, "scale.num_kv_heads": 2})
    model = LanguageModel(spec)
    found = survey(spec.arch, spec.scale, 61, LENGTH)
    for kind in ("flops_per_token", "chunked_flops_per_token"):
        linear = 0
        for part in (part for block in model.blocks for part in block.mixer.modules()):
            if hasattr(part, "weight"):
                linear += 2 * part.weight.numel() + (0 if part.bias is None else part.bias.numel())
        expected = linear + sum(getattr(block.mixer, kind)(LENGTH) for block in model.blocks)
        total = found.forward.mixer if kind == "flops_per_token" else found.chunked_mixer
        assert total == pytest.approx(expected, rel=1e-12)
    assert found.sequence_length == LENGTH
    assert found.forward.total == pytest.approx(
        found.forward.mixer + found.forward.mlp + found.forward.norm + found.forward.head
    )


def test_chunks_take_more_products_than_the_definition_unless_there_is_one_token():
    """At the paper's sizes of heads: about as many in state-space duality, a few percent more in the delta rule."""
    for name in ("mamba2", "gated_deltanet"):
        arch = architecture(("rest", [layer(name)]))
        scale = small_run(arch, **{"scale.width": 512, "scale.head_dim": 128}).scale
        one, many = (survey(arch, scale, 61, length) for length in (1, 4096))
        assert one.chunked_mixer == one.forward.mixer == many.forward.mixer
        assert one.chunked_mixer < many.chunked_mixer < 1.3 * one.chunked_mixer
