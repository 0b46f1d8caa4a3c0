"""Two counters: of all arithmetic, and torch's own of matrix products, taught operators that it does not know.

The latter sees matrix products alone, and those only where they are torch operators: not the C++ selective scan. A
fused causal attention counts as if nothing were hidden.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode, sdpa_backward_flop_count, sdpa_flop_count

aten = torch.ops.aten
ELEMENTWISE = {"mul": 1, "add": 1, "sub": 1, "rsub": 1, "div": 1, "pow": 1, "addcmul": 2}


class Arithmetic(TorchDispatchMode):
    """Counts multiplications and additions, those of matrix products as 2 a term."""

    def __init__(self, *, only_products: bool = False) -> None:
        super().__init__()
        self.only_products, self.count = only_products, 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        name = function.overloadpacket.__name__
        if name in ("mm", "bmm"):
            self.count += 2 * result.numel() * args[0].shape[-1]
        elif self.only_products:
            pass
        elif name in ELEMENTWISE and result.is_floating_point() and result.ndim:
            self.count += ELEMENTWISE[name] * result.numel()
        elif name in ("sum", "mean"):
            self.count += args[0].numel()
        return result


def _solve(matrix: torch.Size, right_side: torch.Size, **_: Any) -> int:
    """For every column, or row, of the right-hand side n² FLOPs."""
    return torch.broadcast_shapes(matrix, right_side).numel() * matrix[-1]


UNKNOWN = {
    aten.baddbmm_: lambda added, a, b, **_: 2 * a.numel() * b[-1],
    aten.linalg_solve_triangular: _solve,
    aten._scaled_dot_product_flash_attention_for_cpu: lambda q, k, v, *_, **__: sdpa_flop_count(q, k, v),
    aten._scaled_dot_product_flash_attention_for_cpu_backward: (
        lambda grad, q, k, v, *_, **__: sdpa_backward_flop_count(grad, q, k, v)
    ),
}


def product_flops(run: Callable[[], object]) -> int:
    with FlopCounterMode(display=False, custom_mapping=UNKNOWN) as counter:
        run()
    return counter.get_total_flops()
