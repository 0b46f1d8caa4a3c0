"""The paper's count of weights: leading terms in the width, half the depth for each half of the stack.

    N(d) = Σ over layers of (mixer + MLP)    a = heads · head size    every span of a fixed number of layers left out

    attention 2.5 w a (GQA 4)   cross-attention 2 w a   recurrences 6 w²   MLP 12 w²   gated memory 2 w · memory width

So a decoder-decoder stack has exactly d/4 of each of its four kinds. Ren et al. 2025 (arXiv 2507.06607), section 3.1
and Appendix C, whose token counts come from this; its public code counts Gated DeltaNet's memory as 2w, not 1.5w.
"""

from dataclasses import replace
from typing import TYPE_CHECKING

from archscale.spec import ArchSpec, ScaleSpec

if TYPE_CHECKING:
    from archscale.model.mixers.base import NominalSizes


def nominal_count(arch: ArchSpec, scale: ScaleSpec) -> float:
    """Non-embedding weights.

    Raises:
        UserError: for a mixer without such a formula, or an unknown one.
    """
    from archscale.model.mixers import MIXERS
    from archscale.model.mixers.base import NominalSizes

    sizes = NominalSizes(width=scale.width, attention=scale.num_heads * scale.head_dim, head_group=arch.head_group)
    sizes = replace(sizes, memory=_memory(arch, sizes))
    mixers = 0.0
    for span, length in zip(arch.stack, _lengths(arch, scale.depth), strict=True):
        tile = sum(MIXERS[layer.mixer].nominal_weights(sizes) for layer in span.tile) / len(span.tile)
        mixers += length * tile
    return mixers + scale.depth * 3 * arch.mlp_ratio * scale.width**2


def _lengths(arch: ArchSpec, depth: int) -> list[float]:
    """Layers of every span: halves, and what they leave for the rest, or for the spans of a fixed number without it."""
    spans = [span.span for span in arch.stack]
    left = depth - depth / 2 * spans.count("half")
    fixed = sum(span for span in spans if isinstance(span, int))
    share = 0.0 if "rest" in spans or not fixed else left / fixed
    lengths = {"half": depth / 2, "rest": left}
    return [lengths[span] if isinstance(span, str) else share * span for span in spans]


def _memory(arch: ArchSpec, sizes: "NominalSizes") -> float:
    from archscale.model.mixers import MIXERS

    for layer in (layer for span in arch.stack for layer in span.tile):
        if "memory" in layer.mlp_write:
            return arch.mlp_ratio * sizes.width
        if "memory" in layer.write:
            return MIXERS[layer.mixer].nominal_memory(sizes)
    return 0.0
