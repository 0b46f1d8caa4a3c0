"""Parameters of a model, counted on its real modules on the meta device (no memory, no formula that could drift).

Non-embedding counts everything but the embedding and the head, as in arXiv 2507.06607, section 3.1.
"""

import json
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from archscale.spec import ArchSpec, ScaleSpec, from_json, to_json


@dataclass(frozen=True, kw_only=True)
class ParameterCount:
    """`embedding` includes an untied head; `norm` are the gains outside of mixers and MLPs."""

    embedding: int
    mixer: int
    mlp: int
    norm: int

    @property
    def non_embedding(self) -> int:
        return self.mixer + self.mlp + self.norm

    @property
    def total(self) -> int:
        return self.embedding + self.non_embedding


def count_parameters(arch: ArchSpec, scale: ScaleSpec, vocab_size: int) -> ParameterCount:
    """
    Raises:
        UserError: where the model cannot be built; see `LanguageModel`.
    """
    # Specs hold dictionaries and cannot be hashed; their JSON can.
    return _count(json.dumps(to_json(arch), sort_keys=True), json.dumps(to_json(scale), sort_keys=True), vocab_size)


@lru_cache(maxsize=512)
def _count(arch_json: str, scale_json: str, vocab_size: int) -> ParameterCount:
    import torch

    from archscale.model.lm import LanguageModel, ModelSpec

    arch, scale = from_json(ArchSpec, arch_json, where="arch"), from_json(ScaleSpec, scale_json, where="scale")
    with torch.device("meta"):
        model = LanguageModel(ModelSpec(arch=arch, scale=scale, vocab_size=vocab_size))

    def size(*modules: Any) -> int:
        return sum(p.numel() for module in modules if module is not None for p in module.parameters())

    return ParameterCount(
        embedding=size(model.embedding, model.head),
        mixer=sum(size(block.mixer) for block in model.blocks),
        mlp=sum(size(block.mlp) for block in model.blocks),
        norm=size(model.norm) + sum(size(block.mixer_norm, block.mlp_norm) for block in model.blocks),
    )
