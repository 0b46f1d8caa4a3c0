"""Heads of attention, from the architecture and the depth: queries by depth, keys and values by group.

    query heads      depth · heads_per_layer: exactly depth at 1, else the nearest multiple of 4, ties upwards
    key/value heads  query heads / head_group; where a mixer needs a multiple of m of them, the nearest such divisor of
                     the query heads, ties upwards

Ren et al. 2025 (arXiv 2507.06607), section 3.1: h_q = d, h_kv = d/4. Differential attention pairs its heads, so d/4 = 3
becomes 4, and 5 becomes 4.
"""

from dataclasses import dataclass
from math import floor, lcm

from archscale.spec import ArchSpec


@dataclass(frozen=True, kw_only=True)
class Heads:
    """`note` is a sentence where the key/value heads are not the query heads over the group, else empty."""

    query: int
    key_value: int
    note: str = ""


def heads_of(arch: ArchSpec, depth: int, *, num_heads: int | None = None, num_kv_heads: int | None = None) -> Heads:
    """A number that is given is taken as it is."""
    query = num_heads or _query_heads(arch, depth)
    if num_kv_heads is not None:
        return Heads(query=query, key_value=num_kv_heads)
    plain = max(1, query // arch.head_group)
    multiples = _needed_multiples(arch, depth)
    multiple = lcm(*multiples.values())
    if plain % multiple == 0:
        return Heads(query=query, key_value=plain)
    divisors = [heads for heads in range(multiple, query + 1, multiple) if query % heads == 0]
    # Without such a divisor the mixer itself refuses the number, and says which ones it takes.
    if not divisors:
        return Heads(query=query, key_value=plain)
    key_value = min(divisors, key=lambda heads: (abs(heads - plain), -heads))
    mixer, needed = next((name, needed) for name, needed in multiples.items() if plain % needed)
    number = "an even number" if needed == 2 else f"a multiple of {needed}"
    change = f"{key_value} key/value heads instead of {plain}"
    note = f"{arch.name} at depth {depth}: {change}, {mixer.replace('_', ' ')} needs {number}"
    return Heads(query=query, key_value=key_value, note=note)


def _query_heads(arch: ArchSpec, depth: int) -> int:
    if arch.heads_per_layer == 1.0:
        return depth
    return max(4, 4 * floor(depth * arch.heads_per_layer / 4 + 0.5))


def _needed_multiples(arch: ArchSpec, depth: int) -> dict[str, int]:
    """By mixer, of those that need one."""
    from archscale.model.mixers import MIXERS
    from archscale.model.stack import expand

    multiples = {layer.mixer: MIXERS[layer.mixer].kv_head_multiple for layer in expand(arch, depth)}
    return {name: multiple for name, multiple in multiples.items() if multiple > 1}
