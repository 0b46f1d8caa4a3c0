"""Selective scan in chunks of K tokens, with the states inside a chunk recomputed on the way back.

    forward    per chunk: decays and inputs of K tokens at once, K fused multiply-adds, one batched matmul for y
    backward   chunks in reverse: the states again from the saved state before the chunk, then the adjoint
               g_t = dy_t C_tᵀ + exp(Δ_{t+1} A) ⊙ g_{t+1}, and from it every gradient

Saved are the inputs and one state per chunk: T/K states instead of T. A state is held as (N, D), the long dimension
innermost, and a decay is 2^(Δ A log₂e), because vectorised exp2 costs about a third of exp on a CPU with AVX-512.

Shapes: T positions, K positions of one chunk, B batch, N state size of one channel, D channels.
"""

from math import e, log2
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

LOG2_E = log2(e)


class ChunkedScan(torch.autograd.Function):
    """Arguments as in reference.py, then the chunk length; returns y_BTD and the final state_BDN."""

    @staticmethod
    def forward(
        ctx: Any,
        u_BTD: Tensor,
        delta_BTD: Tensor,
        A_DN: Tensor,
        B_BTN: Tensor,
        C_BTN: Tensor,
        D_D: Tensor,
        starts_BT: Tensor | None,
        initial_BDN: Tensor | None,
        chunk: int,
    ) -> tuple[Tensor, Tensor]:
        u_TBD, delta_TBD, B_TBN, C_TBN = (x.transpose(0, 1).contiguous() for x in (u_BTD, delta_BTD, B_BTN, C_BTN))
        keep_TB = None if starts_BT is None else (~starts_BT.t()).to(u_BTD.dtype)
        A_ND = A_DN.t().contiguous()
        (length, batch, channels), size = u_TBD.shape, A_ND.shape[0]
        decay_KBND, h_KBND = u_BTD.new_empty(2, min(chunk, length), batch, size, channels).unbind()
        h_BND = u_BTD.new_zeros(batch, size, channels) if initial_BDN is None else initial_BDN.transpose(1, 2).clone()
        y_TBD, before = torch.empty_like(u_TBD), []
        for k in _chunks(length, chunk):
            decay, h = decay_KBND[: k.stop - k.start], h_KBND[: k.stop - k.start]
            before.append(h_BND)
            _decays(decay, delta_TBD[k], A_ND, None if keep_TB is None else keep_TB[k])
            _states(h, decay, h_BND, delta_TBD[k] * u_TBD[k], B_TBN[k])
            torch.matmul(C_TBN[k].unsqueeze(2), h, out=y_TBD[k].unsqueeze(2))
            h_BND = h[-1].clone()
        y_TBD.addcmul_(u_TBD, D_D)
        ctx.save_for_backward(u_TBD, delta_TBD, A_ND, B_TBN, C_TBN, D_D, keep_TB, torch.stack(before))
        ctx.chunk, ctx.has_initial = chunk, initial_BDN is not None
        ctx.set_materialize_grads(False)
        return y_TBD.transpose(0, 1), h_BND.transpose(1, 2)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, ...]:
        u_TBD, delta_TBD, A_ND, B_TBN, C_TBN, D_D, keep_TB, before = ctx.saved_tensors
        dy_BTD, dfinal_BDN = grads
        (length, batch, channels), size = u_TBD.shape, A_ND.shape[0]
        dy_TBD = torch.zeros_like(u_TBD) if dy_BTD is None else dy_BTD.transpose(0, 1).contiguous()
        g_BND = torch.zeros_like(before[0]) if dfinal_BDN is None else dfinal_BDN.transpose(1, 2).clone()
        du_TBD, ddelta_TBD, dB_TBN, dC_TBN = (torch.empty_like(x) for x in (u_TBD, delta_TBD, B_TBN, C_TBN))
        dA_ND = torch.zeros_like(A_ND)
        decay_KBND, h_KBND, g_KBND = u_TBD.new_empty(3, min(ctx.chunk, length), batch, size, channels).unbind()
        for number, k in reversed(list(enumerate(_chunks(length, ctx.chunk)))):
            tokens = k.stop - k.start
            decay, h, g = decay_KBND[:tokens], h_KBND[:tokens], g_KBND[:tokens]
            u, delta, dy = u_TBD[k], delta_TBD[k], dy_TBD[k]
            input_KBD = delta * u
            _decays(decay, delta, A_ND, None if keep_TB is None else keep_TB[k])
            _states(h, decay, before[number], input_KBD, B_TBN[k])
            torch.matmul(dy.unsqueeze(2), h.transpose(2, 3), out=dC_TBN[k].unsqueeze(2))

            torch.mul(dy.unsqueeze(2), C_TBN[k].unsqueeze(3), out=g)
            decays, adjoints = decay.unbind(), g.unbind()
            adjoints[-1].add_(g_BND)
            for t in range(tokens - 1, 0, -1):
                adjoints[t - 1].addcmul_(decays[t], adjoints[t])
            g_BND = decays[0] * adjoints[0]

            torch.matmul(input_KBD.unsqueeze(2), g.transpose(2, 3), out=dB_TBN[k].unsqueeze(2))
            dinput_KBD = torch.matmul(B_TBN[k].unsqueeze(2), g).squeeze(2)
            torch.mul(dinput_KBD, delta, out=du_TBD[k])
            # From here `g` holds the gradient with respect to Δ A: adjoint × decay × state before the token.
            g.mul_(decay)
            g[1:].mul_(h[:-1])
            g[0].mul_(before[number])
            torch.mul(g, A_ND, out=decay)
            torch.addcmul(decay.sum(2), dinput_KBD, u, out=ddelta_TBD[k])
            dA_ND += g.mul_(delta.unsqueeze(2)).sum((0, 1))
        dD_D = (dy_TBD * u_TBD).sum((0, 1))
        du_TBD.addcmul_(dy_TBD, D_D)
        du, ddelta, dB, dC = (x.transpose(0, 1) for x in (du_TBD, ddelta_TBD, dB_TBN, dC_TBN))
        return du, ddelta, dA_ND.t(), dB, dC, dD_D, None, g_BND.transpose(1, 2) if ctx.has_initial else None, None


def _chunks(length: int, chunk: int) -> list[slice]:
    return [slice(start, min(start + chunk, length)) for start in range(0, length, chunk)]


def _decays(decay_KBND: Tensor, delta_KBD: Tensor, A_ND: Tensor, keep_KB: Tensor | None) -> None:
    torch.mul(delta_KBD.unsqueeze(2), A_ND * LOG2_E, out=decay_KBND)
    decay_KBND.exp2_()
    if keep_KB is not None:
        decay_KBND.mul_(keep_KB[:, :, None, None])


def _states(h_KBND: Tensor, decay_KBND: Tensor, before_BND: Tensor, input_KBD: Tensor, B_KBN: Tensor) -> None:
    torch.mul(input_KBD.unsqueeze(2), B_KBN.unsqueeze(3), out=h_KBND)
    state_BND = before_BND
    for decay_BND, h_BND in zip(decay_KBND.unbind(), h_KBND.unbind(), strict=True):
        state_BND = h_BND.addcmul_(decay_BND, state_BND)
