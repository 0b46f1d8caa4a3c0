"""FLOPs of the matrix products of chunked.py: 2 a multiply-add, hidden pairs of a chunk included.

    a chunk of L tokens    B C 2 L² N    U weights 2 X L²    states 2 X L N    readout 2 X L N        X = H · P

Each of them is differentiated with respect to both factors, so that the way back takes twice as many; with a single
chunk there is no state to carry, and it takes less.
"""

from archscale.ops.ssd_scan import chunk_tokens


def ssd_scan_products(length: int, *, heads: int, channels: int, size: int) -> int:
    """Of one sequence of `length` > 1 tokens; `channels` of one head."""
    chunk = min(chunk_tokens(channels, size), length)
    chunks, inner = -(-length // chunk), heads * channels
    return chunks * (2 * chunk**2 * (size + inner) + 4 * inner * chunk * size)
