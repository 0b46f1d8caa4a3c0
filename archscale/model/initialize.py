"""Initial values: the rule of each parameter's role, drawn from a generator of its own.

The generator is seeded with a hash of the run's seed and the parameter's name, so that a value depends neither on the
order in which parameters are created nor on the device. A parameter with its own scheme (norm gains, convolution, and
all of Mamba's step and state parameters) keeps it under every parametrization.
"""

import hashlib

import torch
from torch import Generator, Tensor

from archscale.model.layers import Parameter
from archscale.model.lm import LanguageModel
from archscale.parametrizations import Init, of_run
from archscale.spec import RunSpec


@torch.no_grad()
def initialize(model: LanguageModel, spec: RunSpec) -> None:
    """Fills every parameter in place."""
    parametrization, at, base = of_run(spec)
    for name, parameter in model.named_parameters():
        if not isinstance(parameter, Parameter):
            raise TypeError(f"{name} has no role: create it with archscale.model.layers.Parameter")
        values = torch.empty(parameter.shape)
        generator = Generator().manual_seed(_seed(spec.seed, name))
        if parameter.own is not None:
            parameter.own(values, generator)
        else:
            rule = parametrization.rule(parameter.role, at, base)
            _fill(values, rule.init, parameter.fan_in, generator, name)
            if parameter.output:
                values.mul_(rule.output_factor)
        parameter.copy_(values)


def _fill(values: Tensor, init: Init, fan_in: int | None, generator: Generator, name: str) -> None:
    if init.distribution == "normal":
        values.normal_(0.0, init.value, generator=generator)
    elif init.distribution == "uniform_fan_in" and fan_in is not None:
        bound = init.value * fan_in**-0.5
        values.uniform_(-bound, bound, generator=generator)
    elif init.distribution == "zero":
        values.zero_()
    else:
        raise ValueError(f"{name}: init {init.distribution!r} needs what the parameter does not have (fan_in or own)")


def _seed(seed: int, name: str) -> int:
    return int.from_bytes(hashlib.blake2b(f"{seed}/{name}".encode(), digest_size=8).digest()) >> 1
