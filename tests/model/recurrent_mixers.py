"""Small recurrent mixers, initialised so that state and decay matter, in float64."""

import torch
from torch import Generator, Tensor

from archscale.model.mixers.base import Place
from archscale.model.mixers.gated_deltanet import GatedDeltaNet, GatedDeltaNetConfig
from archscale.model.mixers.mamba2 import Mamba2, Mamba2Config

WIDTH, HEADS, KEY, VALUE = 12, 2, 5, 10


def mamba2_of(*, width: int = WIDTH, writes: tuple[str, ...] = (), **options) -> Mamba2:
    """Initialised, in float64: 4 heads of 6 channels (12 · 2 / 6), with a state of 5."""
    config = Mamba2Config(**{"head_dim": 6, "state_size": 5, "head_multiple": 2, **options})
    mixer = Mamba2(config, Place(layer=0, width=width, writes=frozenset(writes)))
    generator = Generator().manual_seed(0)
    for parameter in mixer.parameters():
        own = parameter.own or (lambda tensor, generator: tensor.normal_(0, 0.3, generator=generator))
        own(parameter.data, generator)
    with torch.no_grad():
        mixer.skip_H.uniform_(0.5, 2.0, generator=generator)
        mixer.gain_D.uniform_(0.5, 2.0, generator=generator)
        # Steps of about one: with steps of 0.01 the state would hardly matter.
        mixer.step_bias_H.add_(4.0)
    return mixer.double()


def gated_deltanet_of(*, writes: tuple[str, ...] = (), **options) -> GatedDeltaNet:
    """Initialised, in float64; with decays of about one half per token, so that state and decay both matter."""
    config = GatedDeltaNetConfig(**{"num_heads": HEADS, "key_head_dim": KEY, **options})
    mixer = GatedDeltaNet(config, Place(layer=0, width=WIDTH, writes=frozenset(writes)))
    generator = Generator().manual_seed(0)
    for parameter in mixer.parameters():
        own = parameter.own or (lambda tensor, generator: tensor.normal_(0, 0.5, generator=generator))
        own(parameter.data, generator)
    with torch.no_grad():
        mixer.gain_M.uniform_(0.5, 2.0, generator=generator)
        mixer.step_bias_H.add_(2.0)
        mixer.A_log_H.copy_(torch.tensor([0.2, 2.0]).log())
    return mixer.double()


def random_input(length: int, batch: int = 2) -> Tensor:
    return torch.randn(batch, length, WIDTH, dtype=torch.float64, generator=Generator().manual_seed(length))
