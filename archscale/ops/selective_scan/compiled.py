"""Selective scan in C++ (scan.cpp), the fastest form on a CPU; needs a C++ compiler at its first use.

The recurrences are those of chunked.py, and so is what is kept for the way back: the inputs and one state per chunk of
tokens. But here a chunk never leaves the registers and the innermost caches, and nothing is transposed or copied.

Shapes: B batch, T positions, D channels, N state size of one channel, S chunks.
"""

import ctypes
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from archscale.ops.native import Missing, library

SOURCE = Path(__file__).with_name("scan.cpp")
# To start a thread takes about 50 µs, to bring this many states one token forward about as long.
STATES_PER_THREAD = 250_000

TENSORS = (
    *("u", "delta", "A", "B", "C", "skip", "initial", "starts", "y", "final", "saved"),
    *("dy", "dfinal", "du", "ddelta", "dA", "dB", "dC", "dskip", "dinitial"),
)
SIZES = ("batch", "length", "channels", "size", "chunk", "threads")


class Arguments(ctypes.Structure):
    """The structure of the same name in scan.cpp."""

    _fields_ = [(name, ctypes.c_void_p) for name in TENSORS] + [(name, ctypes.c_int64) for name in SIZES]


def missing() -> str | None:
    """Why this form cannot be used here, or None where it can; builds it at the first call."""
    found = library(SOURCE)
    return found.reason if isinstance(found, Missing) else None


class CompiledScan(torch.autograd.Function):
    """Arguments as in reference.py, then the chunk length, and whether a way back may follow."""

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
        differentiable: bool,
    ) -> tuple[Tensor, Tensor]:
        (batch, length, channels), size = u_BTD.shape, A_DN.shape[-1]
        inputs = dict(
            zip(("u", "delta", "A", "B", "C", "skip"), (u_BTD, delta_BTD, A_DN, B_BTN, C_BTN, D_D), strict=True)
        )
        inputs = {name: x.contiguous() for name, x in inputs.items()}
        if starts_BT is not None:
            inputs["starts"] = starts_BT.contiguous()
        outputs = {"y": u_BTD.new_empty(batch, length, channels), "final": u_BTD.new_empty(batch, channels, size)}
        if differentiable and any(ctx.needs_input_grad):
            inputs["saved"] = u_BTD.new_empty(batch, -(-length // chunk), size, channels)
        initial = {} if initial_BDN is None else {"initial": initial_BDN.contiguous()}
        _call("forward", {**inputs, **initial, **outputs}, chunk)
        ctx.names, ctx.chunk, ctx.has_initial = list(inputs), chunk, initial_BDN is not None
        ctx.save_for_backward(*inputs.values())
        ctx.set_materialize_grads(False)
        return outputs["y"], outputs["final"]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, ...]:
        inputs = dict(zip(ctx.names, ctx.saved_tensors, strict=True))
        dy_BTD, dfinal_BDN = grads
        given = {"dy": torch.zeros_like(inputs["u"]) if dy_BTD is None else dy_BTD.contiguous()}
        if dfinal_BDN is not None:
            given["dfinal"] = dfinal_BDN.contiguous()
        wanted = {f"d{name}": torch.empty_like(inputs[name]) for name in ("u", "delta", "A", "B", "C", "skip")}
        if ctx.has_initial:
            (batch, _, channels), size = inputs["u"].shape, inputs["A"].shape[1]
            wanted["dinitial"] = inputs["u"].new_empty(batch, channels, size)
        _call("backward", {**inputs, **given, **wanted}, ctx.chunk)
        du, ddelta, dA, dB, dC, dskip, *_ = wanted.values()
        return du, ddelta, dA, dB, dC, dskip, None, wanted.get("dinitial"), None, None


def _call(direction: str, tensors: dict[str, Tensor], chunk: int) -> None:
    (batch, length, channels), size = tensors["u"].shape, tensors["A"].shape[-1]
    _check(tensors, batch, length, channels, size, chunk)
    threads = min(torch.get_num_threads(), batch * length * channels * size // STATES_PER_THREAD)
    sizes = dict(zip(SIZES, (batch, length, channels, size, chunk, max(1, threads)), strict=True))
    pointers = {name: x.data_ptr() for name, x in tensors.items()}
    number = "double" if tensors["u"].dtype == torch.float64 else "float"
    if getattr(library(SOURCE), f"{direction}_{number}")(ctypes.byref(Arguments(**pointers, **sizes))):
        raise MemoryError(f"selective scan of {batch} rows and {channels} channels: no memory for its working space")


def _check(tensors: dict[str, Tensor], batch: int, length: int, channels: int, size: int, chunk: int) -> None:
    """C++ takes every pointer on trust, so a wrong shape has to stop here."""
    inner, outer, state = (batch, length, size), (batch, length, channels), (batch, channels, size)
    shapes = {"A": (channels, size), "skip": (channels,), "starts": (batch, length), "initial": state, "final": state}
    shapes |= {"u": outer, "delta": outer, "y": outer, "B": inner, "C": inner}
    shapes["saved"] = (batch, -(-length // chunk), size, channels)
    shapes |= {f"d{name}": shape for name, shape in shapes.items()}
    for name, x in tensors.items():
        dtype = torch.bool if name == "starts" else tensors["u"].dtype
        if x.shape != shapes[name] or x.dtype != dtype or x.device.type != "cpu":
            found = f"{tuple(x.shape)} of {x.dtype} on {x.device}"
            raise ValueError(f"selective scan: {name} is {found}, not {shapes[name]} of {dtype} on cpu")
