"""State-space dual scan (Mamba-2), with document resets and an initial state; the definition is in reference.py."""

import torch
from torch import Tensor

from archscale.ops.backend import Backend
from archscale.ops.segments import Segments
from archscale.ops.ssd_scan.chunked import ssd_scan_chunked
from archscale.ops.ssd_scan.reference import ssd_scan_reference

__all__ = ["chunk_tokens", "ssd_scan"]


def ssd_scan(
    x_BTHP: Tensor,
    delta_BTH: Tensor,
    A_H: Tensor,
    B_BTN: Tensor,
    C_BTN: Tensor,
    D_H: Tensor,
    *,
    segments: Segments | None = None,
    initial_BHPN: Tensor | None = None,
    backend: Backend = "auto",
    chunk: int | None = None,
) -> tuple[Tensor, Tensor]:
    """y_BTHP and the state after the last token, both in float32 or, for float64 inputs, in float64.

    The initial state belongs to what came before position 0, so `segments` (which start a document there) discard it.
    """
    dtype = torch.float64 if x_BTHP.dtype == torch.float64 else torch.float32
    with torch.autocast(x_BTHP.device.type, enabled=False):
        inputs = [x.to(dtype) for x in (x_BTHP, delta_BTH, A_H, B_BTN, C_BTN, D_H)]
        starts_BT = None if segments is None else segments.starts()
        initial_BHPN = None if initial_BHPN is None else initial_BHPN.to(dtype)
        # One token is one step of the definition, with nothing to gain from chunks.
        if backend == "reference" or x_BTHP.shape[1] == 1:
            return ssd_scan_reference(*inputs, starts_BT=starts_BT, initial_BHPN=initial_BHPN)
        chunk = chunk_tokens(x_BTHP.shape[3], B_BTN.shape[2]) if chunk is None else chunk
        return ssd_scan_chunked(*inputs, starts_BT=starts_BT, initial_BHPN=initial_BHPN, chunk=chunk)


def chunk_tokens(channels: int, size: int) -> int:
    """The power of two at or below √(P N), and at least 16.

    Per token and head a chunk of L tokens takes L weights and the share P N / L of a state, in work as in memory. On
    one core at T = 512 it was within 10 % of the best power of two from (P, N) = (4, 8) to (64, 128), where the 256
    tokens of the paper, made for the matrix units of a GPU, take 1.5 to 14 times as long.
    """
    return max(16, 1 << ((channels * size).bit_length() - 1) // 2)
