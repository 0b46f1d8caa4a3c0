"""Token mixers; importing this package registers all of them."""

from archscale.model.mixers import attention, differential, gated_deltanet, gmu, mamba, mamba2
from archscale.model.mixers.base import MIXERS, Mixer, Place, Shared, StepShared, build_mixer

__all__ = [
    "MIXERS",
    "Mixer",
    "Place",
    "Shared",
    "StepShared",
    "attention",
    "build_mixer",
    "differential",
    "gated_deltanet",
    "gmu",
    "mamba",
    "mamba2",
]
