"""AdamW with one group per (learning-rate multiplier, weight decay), as the parametrization rules by role."""

from collections import defaultdict

import torch
from torch import nn

from archscale.model.layers import Parameter
from archscale.parametrizations import of_run
from archscale.spec import RunSpec
from archscale.train.schedule import learning_rate_factor


def build_optimizer(model: nn.Module, spec: RunSpec) -> torch.optim.AdamW:
    """Every parameter carries its role (model/layers.py)."""
    rules, at, base = of_run(spec)
    groups: dict[tuple[float, float], list[nn.Parameter]] = defaultdict(list)
    for name, parameter in model.named_parameters():
        if not isinstance(parameter, Parameter):
            raise TypeError(f"{name} has no role: create it with archscale.model.layers.Parameter")
        rule = rules.rule(parameter.role, at, base)
        decay = spec.optim.weight_decay if rule.weight_decay else 0.0
        groups[rule.learning_rate_multiplier, decay].append(parameter)
    optim = spec.optim
    return torch.optim.AdamW(
        [
            {"params": parameters, "weight_decay": decay, "lr_multiplier": multiplier, "lr": 0.0}
            for (multiplier, decay), parameters in sorted(groups.items())
        ],
        betas=(optim.beta1, optim.beta2),
        eps=optim.eps,
        fused=True,
    )


def set_learning_rate(optimizer: torch.optim.Optimizer, spec: RunSpec, step: int) -> float:
    """Set every group's rate for `step`; returns the global rate, before the multipliers of the groups."""
    rate = spec.optim.learning_rate * learning_rate_factor(spec.optim, step)
    for group in optimizer.param_groups:
        group["lr"] = rate * group["lr_multiplier"]
    return rate
