"""What the optimizer does to every parameter of small models, against a list of kinds that does not know of roles.

A step with zero gradients is pure decay: p ← (1 − η · multiplier · λ) p.
"""

import pytest
import torch
from torch import nn

from archscale.model.layers import Embedding, Linear
from archscale.model.lm import LanguageModel
from archscale.train.optim import build_optimizer, set_learning_rate
from tests.model.architectures import packaged, small_run, varied_model

ARCHITECTURES = ["sambay", "sambay_2", "gdny", "phi4_mini_flash", "transformer_pp"]
SIZES = {"scale.num_heads": 4, "scale.num_kv_heads": 2, "scale.base_width": 4.0, "optim.warmup_steps": 0}
RATE, DECAY = 0.5, 0.25
# Multiplier and decay by kind; the width is four times that of the base.
EXPECTED = {
    "sp": {"matrix": (1.0, DECAY), "embedding": (1.0, DECAY), "head": (1.0, DECAY), "vector": (1.0, DECAY)},
    "mup": {"matrix": (0.25, DECAY), "embedding": (1.0, DECAY), "head": (1.0, DECAY), "vector": (1.0, DECAY)},
    "mup_pp": {"matrix": (0.25, DECAY), "embedding": (1.0, 0.0), "head": (1.0, 0.0), "vector": (1.0, 0.0)},
}


def kinds(model: LanguageModel) -> dict[str, str]:
    """By name of the parameter: the weights of matrix products, of the two ends, and all the rest."""
    found = {}
    for path, module in model.named_modules():
        for name, _ in module.named_parameters(prefix=path, recurse=False):
            if isinstance(module, Embedding):
                found[name] = "embedding"
            elif isinstance(module, Linear) and name.endswith(".weight"):
                found[name] = "head" if module is model.head else "matrix"
            else:
                found[name] = "vector"
    return found


@pytest.mark.parametrize("name", ["sp", "mup", "mup_pp"])
@pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])
@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_every_parameter_is_decayed_as_table_6_says(name, tied, arch):
    changes = {**SIZES, "parametrization.name": name, "optim.learning_rate": RATE, "optim.weight_decay": DECAY}
    packed = packaged(arch, tie_embeddings=tied)
    model, spec = varied_model(packed, **changes), small_run(packed, **changes)
    if model.head is not None:
        nn.init.normal_(model.head.weight)
    optimizer = build_optimizer(model, spec)
    assert set_learning_rate(optimizer, spec, 0) == RATE
    before = {}
    for path, parameter in model.named_parameters():
        parameter.grad = torch.zeros_like(parameter)
        before[path] = parameter.detach().clone()
    optimizer.step()
    found = kinds(model)
    assert set(found.values()) == {"matrix", "embedding", "vector"} | (set() if tied else {"head"})
    for path, parameter in model.named_parameters():
        multiplier, decay = EXPECTED[name][found[path]]
        expected = before[path] * (1 - RATE * multiplier * decay)
        torch.testing.assert_close(parameter.detach(), expected, rtol=1e-12, atol=0, msg=path)


@pytest.mark.parametrize("name", ["sp", "mup", "mup_pp"])
def test_every_parameter_moves_by_its_learning_rate(name):
    """The first step of Adam has the size of the learning rate where the gradient is not small."""
    changes = {**SIZES, "parametrization.name": name, "optim.learning_rate": 1e-3, "optim.weight_decay": 0.0}
    packed = packaged("sambay_da", tie_embeddings=False)
    model, spec = varied_model(packed, **changes), small_run(packed, **changes)
    optimizer = build_optimizer(model, spec)
    set_learning_rate(optimizer, spec, 0)
    before = {path: p.detach().clone() for path, p in model.named_parameters()}
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    found = kinds(model)
    for path, parameter in model.named_parameters():
        moved = before[path] - parameter.detach()
        expected = torch.full_like(moved, 1e-3 * EXPECTED[name][found[path]][0])
        torch.testing.assert_close(moved, expected, rtol=1e-6, atol=1e-12, msg=path)
