"""Peers that cast to float32 whatever they are given, compared in float64."""

from types import ModuleType

import torch


class Float64Torch(ModuleType):
    """torch, in which float32 is float64: `monkeypatch.setattr(peer, "torch", Float64Torch("torch"))`."""

    float32 = torch.float64

    def __getattr__(self, name: str) -> object:
        return getattr(torch, name)
