"""The language model: embedding, blocks, final norm, and logits from the tied embedding or a head.

    logits = m · norm(x_d) Eᵀ        m is the parametrization's logit multiplier (w0/w under μP++)

Shapes: B batch, T positions, D width, V vocabulary.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, linear

from archscale.model.block import Block
from archscale.model.layers import Embedding, Linear, RMSNorm
from archscale.model.mixers import MIXERS, Place, Shared, build_mixer
from archscale.model.stack import expand
from archscale.ops.backend import Backend
from archscale.ops.segments import Segments
from archscale.parametrizations import Multipliers, of_run
from archscale.registry import unknown
from archscale.spec import ArchSpec, RunSpec, ScaleSpec

NEUTRAL = Multipliers(residual=1.0, logits=1.0)


@dataclass(frozen=True, kw_only=True)
class ModelSpec:
    """The part of a run that a model depends on."""

    arch: ArchSpec
    scale: ScaleSpec
    vocab_size: int
    multipliers: Multipliers = NEUTRAL
    backend: Backend = "auto"

    @classmethod
    def of_run(cls, spec: RunSpec) -> "ModelSpec":
        parametrization, at, base = of_run(spec)
        return cls(
            arch=spec.arch,
            scale=spec.scale,
            vocab_size=spec.data.vocab_size,
            multipliers=parametrization.multipliers(at, base),
            backend=spec.execution.backend,
        )


class LanguageModel(nn.Module):
    """Parameters are created empty, on the current default device; `initialize` fills them.

    Raises:
        UserError: for a stack or a mixer option that cannot work, naming the layer.
    """

    def __init__(self, spec: RunSpec | ModelSpec) -> None:
        super().__init__()
        self.spec = spec = ModelSpec.of_run(spec) if isinstance(spec, RunSpec) else spec
        arch, width = spec.arch, spec.scale.width
        for name in arch.mixers:
            if name not in MIXERS:
                raise unknown("mixer", name, MIXERS, hint=f"It has options in arch.mixers of arch {arch.name}.")
        self.layers = expand(arch, spec.scale.depth)
        self.embedding = Embedding(spec.vocab_size, width)
        self.blocks = nn.ModuleList(self._blocks())
        self.norm = RMSNorm(width, arch.norm_eps)
        self.head = None if arch.tie_embeddings else Linear(width, spec.vocab_size, role="unembedding")

    def forward(self, tokens_BT: Tensor, segments: Segments | None = None) -> Tensor:
        """logits_BTV in float32 (float64 for a float64 model)."""
        x_BTD = self.embedding(tokens_BT)
        shared: Shared = {}
        for block in self.blocks:
            x_BTD = block(x_BTD, shared, segments)
        # The multiplier is applied to the narrow side of the product.
        x_BTD = self.norm(x_BTD) * self.spec.multipliers.logits
        weight_VD = self.embedding.weight if self.head is None else self.head.weight
        return linear(x_BTD, weight_VD).to(weight_VD.dtype)

    def loss(self, inputs_BT: Tensor, targets_BT: Tensor, segments: Segments | None = None) -> Tensor:
        """Mean cross-entropy in nats per token, a float32 scalar."""
        logits_BTV = self(inputs_BT, segments)
        with torch.autocast(logits_BTV.device.type, enabled=False):
            return cross_entropy(logits_BTV.flatten(0, 1), targets_BT.flatten())

    def _blocks(self) -> list[Block]:
        arch, scale, blocks = self.spec.arch, self.spec.scale, []
        shared_widths: dict[str, int] = {}
        for index, layer in enumerate(self.layers):
            place = Place(
                layer=index,
                width=scale.width,
                writes=frozenset(layer.write),
                shared_widths=dict(shared_widths),
                norm_eps=arch.norm_eps,
                backend=self.spec.backend,
            )
            mixer = build_mixer(layer, place, arch, scale)
            shared_widths |= {name: mixer.shared_width(name) for name in layer.write}
            blocks.append(
                Block(
                    mixer,
                    width=scale.width,
                    mlp_ratio=arch.mlp_ratio,
                    norm_eps=arch.norm_eps,
                    residual=self.spec.multipliers.residual,
                )
            )
        return blocks
