"""Training compute under a named accounting, which travels with every number it gives.

`6nd_non_embedding`: 6·N·T with N the non-embedding parameters of the real modules (Kaplan et al. 2020,
arXiv 2001.08361, section 2.1); `6nd_total`: the same with all parameters, tied embeddings counted once.
"""

from collections.abc import Callable

from archscale.registry import Registry
from archscale.scaling.count import ParameterCount

ACCOUNTINGS: Registry[Callable[[ParameterCount, int], float]] = Registry("FLOPs accounting")
DEFAULT_ACCOUNTING = "6nd_non_embedding"


@ACCOUNTINGS.register("6nd_non_embedding")
def six_nd_non_embedding(count: ParameterCount, tokens: int) -> float:
    return 6.0 * count.non_embedding * tokens


@ACCOUNTINGS.register("6nd_total")
def six_nd_total(count: ParameterCount, tokens: int) -> float:
    return 6.0 * count.total * tokens


def training_flops(count: ParameterCount, tokens: int, accounting: str = DEFAULT_ACCOUNTING) -> float:
    return ACCOUNTINGS[accounting](count, tokens)
