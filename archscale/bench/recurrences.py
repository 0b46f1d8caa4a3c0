"""Recurrences of a model run token by token, all else as it is: what `archscale bench train` compares with."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn

from archscale.model.mixers.base import Mixer
from archscale.model.mixers.gated_deltanet import GatedDeltaNet
from archscale.model.mixers.mamba import Mamba
from archscale.model.mixers.mamba2 import Mamba2

OPERATORS: dict[type[Mixer], str] = {Mamba: "selective_scan", Mamba2: "ssd_scan", GatedDeltaNet: "gated_delta_rule"}


def has_recurrence(model: nn.Module) -> bool:
    return any(isinstance(module, tuple(OPERATORS)) for module in model.modules())


@contextmanager
def run_token_by_token() -> Iterator[None]:
    """Here the mixers find the definition, a loop over tokens, under the name of their operator.

    The backend of a model would replace its attention and convolutions too, and so mix their gain into the ratio.
    """
    modules = {name: sys.modules[mixer.__module__] for mixer, name in OPERATORS.items()}
    fast = [(module, name, getattr(module, name)) for name, module in modules.items()]
    try:
        for module, name, operator in fast:
            setattr(module, name, _definition(operator))
        yield
    finally:
        for module, name, operator in fast:
            setattr(module, name, operator)


def _definition(operator: Callable[..., Any]) -> Callable[..., Any]:
    def run(*inputs: Any, **options: Any) -> Any:
        return operator(*inputs, **options | {"backend": "reference"})

    return run
