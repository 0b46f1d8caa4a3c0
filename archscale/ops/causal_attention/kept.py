"""What causal attention keeps for the way back, in bytes per token.

    narrow    own copies of q, k, v, the output, and the weights of every block: H · (keys that a block sees)
    whole     q, k, v, the output and one normaliser a head: the weights are made again
    blocks    the same for every block of queries, and each block's mask; on CUDA its weights too, because no fused
              kernel takes both a mask and grouped heads

Without masks and windows on CUDA the flash kernel is assumed, for values wider than the keys the memory-efficient one.

Shapes: T positions, H query heads, G key/value heads, K key size, V value size of one head.
"""

from functools import lru_cache
from typing import Literal

from archscale.ops.activations import Step
from archscale.ops.causal_attention.narrow import NARROW_BLOCK
from archscale.ops.causal_attention.sdpa import QUERY_BLOCK

Form = Literal["narrow", "whole", "blocks"]


def kept_bytes(form: Form, heads: int, groups: int, key: int, value: int, window: int | None, step: Step) -> float:
    """Without q, k and v where they are views of the caller's: in forms other than narrow, at equal sizes."""
    output, inputs = heads * value, heads * key + groups * (key + value)
    if form == "narrow":
        seen = keys_seen(step.length, window, NARROW_BLOCK)
        return 4.0 * (inputs + output + heads * seen) + (step.low * output if step.mixed else 0)
    seen = keys_seen(step.length, window, QUERY_BLOCK)
    wide, padded = max(key, value), 0.0
    if key != value and not step.cuda:
        # Zeros after the shorter ones make copies of all; every block has its own of the keys and values it sees.
        padded = wide * (heads + 2 * groups * (seen / min(QUERY_BLOCK, step.length) if form == "blocks" else 1))
    kept = step.low * (padded + heads * (value if step.cuda else wide)) + 4.0 * heads
    if form == "whole":
        return kept
    masks = seen if step.documents else seen / step.sequences
    if not step.cuda:
        # The outputs of the blocks, put together and put in order.
        return kept + step.low * (output + masks)
    repeated = heads * (key + value) * seen / min(QUERY_BLOCK, step.length) + heads * key
    return kept + step.low * (output + heads * seen + repeated) + masks


@lru_cache(maxsize=512)
def keys_seen(length: int, window: int | None, block: int) -> float:
    """Keys of which a block of queries makes weights, averaged over its tokens."""
    total = 0
    for start in range(0, length, block):
        stop = min(start + block, length)
        first = 0 if window is None else max(0, start - window + 1)
        total += (stop - start) * (stop - first)
    return total / length
