"""The language model: embedding, blocks, final norm, and logits from the tied embedding or a head.

    logits = m · norm(x_d) Eᵀ        m is the parametrization's logit multiplier (w0/w under μP++)

Shapes: B batch, T positions, D width, V vocabulary.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from archscale.model.block import Block
from archscale.model.cache import Cache, MixerCache, Prompt
from archscale.model.layers import NORMS, Embedding, Linear
from archscale.model.mixers import Place, Shared, StepShared
from archscale.model.placing import checked_layers, place_mixers
from archscale.ops.backend import Backend
from archscale.ops.cross_entropy import cross_entropy
from archscale.ops.segments import Segments
from archscale.parametrizations import Multipliers, of_run
from archscale.registry import UserError
from archscale.spec import ArchSpec, RunSpec, ScaleSpec

NEUTRAL = Multipliers(residual=1.0, logits=1.0)


@dataclass(frozen=True, kw_only=True)
class ModelSpec:
    """The part of a run that a model depends on; `recompute` as in `ExecutionSpec`."""

    arch: ArchSpec
    scale: ScaleSpec
    vocab_size: int
    multipliers: Multipliers = NEUTRAL
    backend: Backend = "auto"
    recompute: bool = False

    @classmethod
    def of_run(cls, spec: RunSpec) -> "ModelSpec":
        parametrization, at, base = of_run(spec)
        return cls(
            arch=spec.arch,
            scale=spec.scale,
            vocab_size=spec.data.vocab_size,
            multipliers=parametrization.multipliers(at, base),
            backend=spec.execution.backend,
            recompute=spec.execution.recompute,
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
        self.layers = checked_layers(arch, spec.scale.depth)
        self.embedding = Embedding(spec.vocab_size, width)
        self.blocks = nn.ModuleList(self._blocks())
        self.norm = NORMS[arch.norm](width, arch.norm_eps)
        self.head = None if arch.tie_embeddings else Linear(width, spec.vocab_size, role="unembedding")

    def forward(self, tokens_BT: Tensor, segments: Segments | None = None) -> Tensor:
        """logits_BTV in float32 (float64 for a float64 model)."""
        x_BTD = self.embedding(tokens_BT)
        shared: Shared = {}
        for block in self._stack():
            run = block.recomputed if self.spec.recompute else block
            x_BTD = run(x_BTD, shared, segments)
        return self._logits(x_BTD)

    def loss(
        self,
        inputs_BT: Tensor,
        targets_BT: Tensor,
        segments: Segments | None = None,
        *,
        label_smoothing: float = 0.0,
    ) -> Tensor:
        """Mean cross-entropy in nats per token, a float32 scalar."""
        logits_BTV = self(inputs_BT, segments)
        return cross_entropy(logits_BTV, targets_BT, label_smoothing=label_smoothing, backend=self.spec.backend)

    @torch.no_grad()
    def prefill(self, tokens_BT: Tensor, lengths_B: Tensor | Sequence[int] | None = None) -> tuple[Cache, Tensor]:
        """Reads prompts; returns what `step` goes on from, and logits_BV after each row's last token.

        `lengths_B` are the numbers of real tokens of right-padded rows. Layers after the last one that looks back run
        on one token a row, and so does that layer but for what it caches: in a decoder-decoder model the whole
        cross-decoder, and the queries of the full attention (arXiv 2507.06607, section 2).

        Raises:
            UserError: for an empty prompt, or a length outside 1 … T.
        """
        prompt = _checked_prompt(tokens_BT, lengths_B)
        x_BTD = self.embedding(tokens_BT)
        blocks = self._stack()
        shared: Shared = {}
        exposed: StepShared = {}
        caches: list[MixerCache | None] = []
        last = max((i for i, block in enumerate(blocks) if block.mixer.looks_back), default=0)
        for block in blocks[:last]:
            x_BTD, cache = block.prefill(x_BTD, shared, prompt)
            caches.append(cache)
            exposed |= block.mixer.exposes(cache)
        caches.append(blocks[last].absorb(x_BTD, prompt.shortened()))
        caches += [None] * (len(blocks) - len(caches))
        at_last: StepShared = {name: prompt.last(tensor) for name, tensor in shared.items()}
        at_last |= exposed
        position_B = prompt.lengths_B - 1
        x_BD = prompt.last(x_BTD)
        for block, kept in zip(blocks[last:], caches[last:], strict=True):
            x_BD = block.step(x_BD, at_last, kept, position_B)
        return Cache(caches, prompt.lengths_B.clone()), self._logits(x_BD)

    @torch.no_grad()
    def step(self, tokens_B: Tensor, cache: Cache) -> Tensor:
        """logits_BV after one more token a row; `cache` is changed in place."""
        x_BD = self.embedding(tokens_B)
        shared: StepShared = {}
        for block, kept in zip(self._stack(), cache.layers, strict=True):
            x_BD = block.step(x_BD, shared, kept, cache.lengths_B)
        cache.lengths_B += 1
        return self._logits(x_BD)

    def _stack(self) -> list[Block]:
        return cast("list[Block]", list(self.blocks))

    def _logits(self, x: Tensor) -> Tensor:
        # The multiplier is applied to the narrow side of the product.
        x = self.norm(x) * self.spec.multipliers.logits
        weight_VD = self.embedding.weight if self.head is None else self.head.weight
        return linear(x, weight_VD).to(weight_VD.dtype)

    def _blocks(self) -> list[Block]:
        spec, arch, width = self.spec, self.spec.arch, self.spec.scale.width
        common = Place(
            layer=0,
            width=width,
            norm_eps=arch.norm_eps,
            score_factor=spec.multipliers.attention,
            backend=spec.backend,
        )
        mixers = place_mixers(arch, spec.scale, self.layers, common)
        return [
            Block(mixer, arch, width=width, residual=spec.multipliers.residual, mlp_writes=frozenset(layer.mlp_write))
            for layer, mixer in zip(self.layers, mixers, strict=True)
        ]


def _checked_prompt(tokens_BT: Tensor, lengths_B: Tensor | Sequence[int] | None) -> Prompt:
    if tokens_BT.ndim != 2 or tokens_BT.numel() == 0:
        raise UserError(f"prompts of shape {tuple(tokens_BT.shape)}: give (B, T) token ids, at least one to a row")
    rows, size = tokens_BT.shape
    if lengths_B is None:
        lengths_B = torch.full((rows,), size)
    lengths_B = torch.as_tensor(lengths_B, dtype=torch.long, device=tokens_BT.device)
    if lengths_B.shape != (rows,) or int(lengths_B.min()) < 1 or int(lengths_B.max()) > size:
        raise UserError(
            f"prompt lengths {lengths_B.tolist()} of {rows} rows of {size} positions: give each row a length from 1 to "
            f"{size}"
        )
    return Prompt(lengths_B, size)
