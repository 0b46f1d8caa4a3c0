"""Gated delta rule, with document resets and an initial state; the definition is in reference.py."""

import torch
from torch import Tensor

from archscale.ops.backend import Backend
from archscale.ops.gated_delta_rule.chunked import ChunkedDelta
from archscale.ops.gated_delta_rule.reference import gated_delta_rule_reference
from archscale.ops.segments import Segments

__all__ = ["CHUNK_TOKENS", "chunk_tokens", "gated_delta_rule"]

# Measured on one core, forward and backward. Per chunk there is one state to keep, per token one row of each C × C
# matrix, so that large heads want longer chunks: 32 is best at K = V/2 = 16 and K = V = 64, 64 at K = V/2 = 256.
CHUNK_TOKENS = 32
CHUNK_TOKENS_OF_LARGE_HEADS = 64
LARGE_HEAD = 128
# exp of this is zero in float64 too, while a sum over a chunk keeps eleven digits after the point.
LOWEST_LOG_DECAY = -1000.0
# Without gradients no states are kept: a long prompt is read in pieces of this many chunks.
PIECE_CHUNKS = 64


def gated_delta_rule(
    q_BTHK: Tensor,
    k_BTHK: Tensor,
    v_BTHV: Tensor,
    log_decay_BTH: Tensor,
    beta_BTH: Tensor,
    *,
    segments: Segments | None = None,
    initial_BHKV: Tensor | None = None,
    backend: Backend = "auto",
    chunk: int | None = None,
) -> tuple[Tensor, Tensor]:
    """o_BTHV and the state after the last token, both in float32 or, for float64 inputs, in float64.

    Queries and keys come with length one. The initial state belongs to what came before position 0, so `segments`
    (which start a document there) discard it.
    """
    dtype = torch.float64 if q_BTHK.dtype == torch.float64 else torch.float32
    with torch.autocast(q_BTHK.device.type, enabled=False):
        inputs = [x.to(dtype) for x in (q_BTHK, k_BTHK, v_BTHV, log_decay_BTH, beta_BTH)]
        starts_BT = None if segments is None else segments.starts()
        # One token is one step of the definition, and then cheapest that way.
        if backend == "reference" or q_BTHK.shape[1] == 1:
            return gated_delta_rule_reference(*inputs, starts_BT=starts_BT, initial_BHKV=initial_BHKV)
        return _chunked(*inputs, starts_BT=starts_BT, state_BHKV=initial_BHKV, chunk=chunk)


def chunk_tokens(key: int) -> int:
    return CHUNK_TOKENS if key <= LARGE_HEAD else CHUNK_TOKENS_OF_LARGE_HEADS


def _chunked(
    q_BTHK: Tensor,
    k_BTHK: Tensor,
    v_BTHV: Tensor,
    log_decay_BTH: Tensor,
    beta_BTH: Tensor,
    *,
    starts_BT: Tensor | None,
    state_BHKV: Tensor | None,
    chunk: int | None,
) -> tuple[Tensor, Tensor]:
    batch, _, heads, key = k_BTHK.shape
    if chunk is None:
        chunk = chunk_tokens(key)
    if state_BHKV is None:
        state_BHKV = v_BTHV.new_zeros(batch, heads, key, v_BTHV.shape[3])
    log_decay_BTH = log_decay_BTH.clamp(min=LOWEST_LOG_DECAY)
    if starts_BT is not None:
        log_decay_BTH = log_decay_BTH.masked_fill(starts_BT[..., None], LOWEST_LOG_DECAY)
    inputs = (q_BTHK * key**-0.5, k_BTHK, k_BTHK * beta_BTH[..., None], v_BTHV, log_decay_BTH)
    if torch.is_grad_enabled():
        o_BTHV, state_BHKV = ChunkedDelta.apply(*inputs, state_BHKV, chunk)
        return o_BTHV, state_BHKV
    outputs = []
    for piece in zip(*(x.split(PIECE_CHUNKS * chunk, 1) for x in inputs), strict=True):
        o_BTHV, state_BHKV = ChunkedDelta.apply(*piece, state_BHKV, chunk)
        outputs.append(o_BTHV)
    return torch.cat(outputs, 1), state_BHKV
