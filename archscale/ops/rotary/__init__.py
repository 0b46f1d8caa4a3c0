"""Rotary positions; the definition is in reference.py.

Scores of turned queries and keys depend only on their distance, so packed documents need no positions of their own.
"""

from torch import Tensor

from archscale.ops.backend import Backend
from archscale.ops.rotary.reference import rotate_reference
from archscale.ops.rotary.whole import WholeRotation

__all__ = ["rotate"]


def rotate(x_BTHK: Tensor, base: float, *, position_BT: Tensor | None = None, backend: Backend = "auto") -> Tensor:
    """y_BTHK of the same dtype; without `position_BT` positions count from 0, and position 0 is left as it is."""
    if backend == "reference" or position_BT is not None:
        return rotate_reference(x_BTHK, base, position_BT=position_BT)
    y_BTHK: Tensor = WholeRotation.apply(x_BTHK, base)
    return y_BTHK
