"""FLOPs of the matrix products of chunked.py: 2 a multiply-add, hidden pairs of a chunk included.

    a chunk of C tokens    (Q, K) Wᵀ 4 C² K    (I + A)⁻¹ C³    U 2 C² V    P U 2 C² V    with the state 6 C K V

The way back takes twice as many, without the inverse, which it has. The solver is taken at its C² multiplications and
additions for each of C columns, though the lower half of them is all that is not zero.
"""

from archscale.ops.gated_delta_rule import chunk_tokens


def gated_delta_rule_products(length: int, *, heads: int, key: int, value: int) -> int:
    """Of one sequence of `length` > 1 tokens; sizes of one head."""
    chunks = -(-length // chunk_tokens(key))
    tokens = -(-length // chunks)
    return heads * chunks * (tokens**2 * (4 * key + 4 * value + tokens) + 6 * tokens * key * value)
