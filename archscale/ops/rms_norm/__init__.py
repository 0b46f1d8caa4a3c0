"""Root-mean-square norm in the precision of its gain; the definition is in reference.py."""

from torch import Tensor
from torch.nn import functional

from archscale.ops.rms_norm.saved import SavedRMSNorm

__all__ = ["rms_norm"]


def rms_norm(x: Tensor, gain: Tensor, eps: float) -> Tensor:
    """y of the dtype of `gain`; the norm runs over the last dimension."""
    x = x.to(gain.dtype)
    if x.device.type == "cpu":
        y: Tensor = SavedRMSNorm.apply(x, gain, eps)
        return y
    return functional.rms_norm(x, gain.shape, gain, eps)
