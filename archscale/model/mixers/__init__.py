"""Token mixers; importing this package registers all of them."""

from archscale.model.mixers import attention, gmu, mamba
from archscale.model.mixers.base import MIXERS, Mixer, Place, Shared, build_mixer

__all__ = ["MIXERS", "Mixer", "Place", "Shared", "attention", "build_mixer", "gmu", "mamba"]
