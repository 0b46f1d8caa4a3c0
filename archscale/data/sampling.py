"""Stateless sampling: which windows of the corpus a step sees is a function of (seed, step) alone.

The corpus is cut into windows of T+1 tokens that overlap by one; sample k = step · batch + i takes window
π_e(k mod M) of epoch e = k div M, where π_e is a pseudo-random permutation of the M windows and every epoch shifts the
cuts. So nothing has to be saved for a resume, each window comes once an epoch, and a process or a micro-batch that
wants rows 3…5 of a batch computes just those.

The permutation is a four-round Feistel network with cycle walking (Black and Rogaway 2002, "Ciphers with arbitrary
finite domains"), so that it needs no table, however long the corpus is.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]

_ROUNDS = 4


@dataclass(frozen=True, kw_only=True)
class Sampler:
    """Batches of (inputs, targets), each (rows, T) int64, targets one token ahead."""

    tokens: np.ndarray
    sequence_length: int
    batch_sequences: int
    seed: int

    def batch(self, step: int, rows: slice = slice(None)) -> tuple[Integers, Integers]:
        """Rows `rows` of the batch of `step`, counted from 0."""
        starts = self.starts(step)[rows]
        windows = self.tokens[starts[:, None] + np.arange(self.sequence_length + 1)].astype(np.int64)
        return windows[:, :-1], windows[:, 1:]

    def starts(self, step: int) -> Integers:
        """Offsets of the batch's windows in the token stream, (batch_sequences,)."""
        length = self.sequence_length
        # One window less than fits: its tokens make room for the shift of up to T − 1.
        windows = max(1, (len(self.tokens) - 1) // length - 1)
        sample = step * self.batch_sequences + np.arange(self.batch_sequences, dtype=np.int64)
        epoch, place = np.divmod(sample, windows)
        starts = np.empty_like(sample)
        for number in np.unique(epoch):
            here = epoch == number
            room = len(self.tokens) - 1 - windows * length
            shift = np.random.default_rng((self.seed, int(number))).integers(0, min(length, room + 1))
            starts[here] = permute(place[here], windows, seed=self.seed, epoch=int(number)) * length + shift
        return starts


def validation_batches(
    tokens: np.ndarray, *, sequence_length: int, total_tokens: int, batch_sequences: int
) -> list[tuple[Integers, Integers]]:
    """The fixed held-out set: windows spread evenly over the validation part, at most as many as it holds."""
    available = (len(tokens) - 1) // sequence_length
    count = min(max(1, total_tokens // sequence_length), available)
    starts = np.arange(count, dtype=np.int64) * available // count * sequence_length
    windows = tokens[starts[:, None] + np.arange(sequence_length + 1)].astype(np.int64)
    return [
        (windows[first : first + batch_sequences, :-1], windows[first : first + batch_sequences, 1:])
        for first in range(0, count, batch_sequences)
    ]


def permute(values: Integers, size: int, *, seed: int, epoch: int) -> Integers:
    """A bijection of 0 … size−1, chosen by (seed, epoch), applied to `values`."""
    half_bits = max(1, (int(size - 1).bit_length() + 1) // 2)
    out = _feistel(values.astype(np.uint64), half_bits, seed, epoch)
    # Cycle walking: what falls outside the domain is encrypted again until it falls inside.
    while (outside := out >= size).any():
        out[outside] = _feistel(out[outside], half_bits, seed, epoch)
    return out.astype(np.int64)


def _feistel(values: NDArray[np.uint64], half_bits: int, seed: int, epoch: int) -> NDArray[np.uint64]:
    mask, bits = np.uint64((1 << half_bits) - 1), np.uint64(half_bits)
    left, right = values >> bits, values & mask
    for number in range(_ROUNDS):
        # Arrays of one, not scalars: numpy lets arrays wrap around in silence, and wrapping is meant here.
        key = mix(
            np.array([seed], np.uint64) + mix(np.array([epoch], np.uint64) + mix(np.array([number + 1], np.uint64)))
        )
        left, right = right, left ^ (mix(right + key) & mask)
    return (left << bits) | right


def mix(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The finalizer of SplitMix64 (Steele, Lea and Flood 2014): a bijection of 64-bit words that scatters bits."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))
