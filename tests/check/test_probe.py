"""What is measured, against the model's own equations, in float64."""

from math import exp, sqrt

import pytest
import torch
from torch.nn.functional import silu

from archscale.check.coordinates import CheckSettings, batch, run_spec
from archscale.check.probe import (
    BY_HEAD,
    BY_STREAM,
    EMBEDDING,
    HEAD,
    LOGITS,
    MLP,
    STREAM,
    change_of_logits,
    observe,
    parts_of,
    probe,
)
from archscale.model.initialize import initialize
from archscale.model.lm import LanguageModel

SMALL = CheckSettings(widths=(32, 64), depths=(8, 16), head_dim=4, sequence_length=9, steps=2)


def model_of(arch: str) -> LanguageModel:
    spec = run_spec(arch, "mup_pp", 32, 8, SMALL, seed=0)
    model = LanguageModel(spec)
    initialize(model, spec)
    return model.double()


def moved(model: LanguageModel) -> dict[str, torch.Tensor]:
    """Every parameter changes a little; returns what they were."""
    start = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.02 * torch.randn(parameter.shape, generator=generator, dtype=parameter.dtype))
    return start


def rms(tensor: torch.Tensor) -> float:
    return tensor.square().mean().sqrt().item()


@pytest.fixture(params=["sambay_da", "sambay_mlp", "sgdny", "phi4_mini_flash"])
def model(request) -> LanguageModel:
    return model_of(request.param)


def tokens() -> torch.Tensor:
    return batch(SMALL, seed=0)[:, :-1]


def test_the_branches_of_all_kinds_and_the_embedding_make_the_stream(model):
    seen = observe(model, tokens())
    counts = {kind: sum(layer.mixer == kind for layer in model.layers) for kind in seen.quantities}
    counts[MLP] = 8
    total = model.embedding(tokens())
    for kind in set(seen.quantities) - {STREAM, LOGITS}:
        total = total + seen.quantities[kind] * sqrt(counts[kind] / 8)
    torch.testing.assert_close(seen.quantities[STREAM], total, rtol=1e-12, atol=1e-12)


def test_observing_leaves_nothing_behind(model):
    before = model(tokens())
    torch.testing.assert_close(observe(model, tokens()).quantities[LOGITS], before, rtol=0, atol=0)
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


def test_head_and_stream_together_change_the_logits(model):
    first = observe(model, tokens())
    start = moved(model)
    now = observe(model, tokens())
    shares = change_of_logits(model, first, now, start)
    change = now.quantities[LOGITS] - first.quantities[LOGITS]
    torch.testing.assert_close(shares[BY_HEAD] + shares[BY_STREAM], change, rtol=1e-10, atol=1e-12)
    assert min(rms(shares[BY_HEAD]), rms(shares[BY_STREAM])) > 0.01 * rms(change)


def test_parts_of_an_mlp_follow_from_its_equation(model):
    start = moved(model)
    now = observe(model, tokens())
    down, gate = torch.zeros(()), torch.zeros(())
    for index, block in enumerate(model.blocks):
        x = block.mlp_norm(now.inputs[block.mlp_norm][0])
        mlp, change = block.mlp, {}
        for name in ("down", "gate"):
            change[name] = getattr(mlp, name).weight - start[f"blocks.{index}.mlp.{name}.weight"]
        up = x @ mlp.up.weight.T
        down = down + (silu(x @ mlp.gate.weight.T) * up) @ change["down"].T / 4
        before = silu(x @ (mlp.gate.weight - change["gate"]).T)
        gate = gate + ((silu(x @ mlp.gate.weight.T) - before) * up) @ mlp.down.weight.T / 4
    parts = parts_of(model, now, start)
    # The multiplier of branches is 1/√16 at depth 8, and every layer has an MLP.
    assert parts["mlp.down.weight"] == pytest.approx(rms(down), rel=1e-10)
    assert parts["mlp.gate.weight"] == pytest.approx(rms(gate), rel=1e-10)


def test_parts_of_embedding_and_head(model):
    start = moved(model)
    now = observe(model, tokens())
    parts = parts_of(model, now, start)
    change = model.embedding.weight - start["embedding.weight"]
    assert parts[EMBEDDING] == pytest.approx(rms(change[tokens()]), rel=1e-10)
    h = model.norm(now.quantities[STREAM]) * model.spec.multipliers.logits
    assert parts[HEAD] == pytest.approx(rms(h @ change.T), rel=1e-10)


def test_every_parameter_has_a_part_and_keeps_its_value(model):
    start = moved(model)
    values = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    parts = parts_of(model, observe(model, tokens()), start)
    assert all(torch.equal(values[name], parameter) for name, parameter in model.named_parameters())
    kinds = {layer.mixer for layer in model.layers}
    names = {name.partition(".mixer.")[2] for name in values if ".mixer." in name}
    assert {key.partition(".")[2] for key in parts if key.partition(".")[0] in kinds} >= names
    assert set(parts) >= {f"{kind}.norm.gain" for kind in kinds | {MLP}} | {EMBEDDING, HEAD, "final norm.gain"}
    assert min(parts.values()) > 0


def test_what_has_not_moved_has_no_part(model):
    start = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    assert set(parts_of(model, observe(model, tokens()), start).values()) == {0.0}


def test_the_factor_of_differential_attention_is_that_of_its_layers():
    """1 − λ₀ = 0.2 + 0.6 exp(−0.3 l): windows at layers 1 and 3 of 8, full attention at 5, cross-attention at 7."""

    def of(*layers: int) -> float:
        return sqrt(sum((0.2 + 0.6 * exp(-0.3 * layer)) ** 2 for layer in layers) / len(layers))

    spec = run_spec("sambay_da", "mup_pp", 32, 8, SMALL, seed=0)
    factors = probe(spec, batch(SMALL, 0), parts=False).factors
    assert factors["differential_window_attention"] == pytest.approx(of(1, 3))
    assert factors["differential_attention"] == pytest.approx(of(5))
    assert factors["differential_cross_attention"] == pytest.approx(of(7))
    assert factors["mamba"] == factors["gmu"] == 1


def test_a_probe_trains():
    spec = run_spec("sambay", "mup_pp", 32, 8, SMALL, seed=0)
    found = probe(spec, batch(SMALL, 0), dtype=torch.float64)
    assert (len(found.sizes), len(found.changes)) == (3, 2)
    assert 0 < found.changes[0][STREAM] < found.changes[1][STREAM]
    assert found.sizes[0] == probe(spec, batch(SMALL, 0), parts=False, dtype=torch.float64).sizes[0]
