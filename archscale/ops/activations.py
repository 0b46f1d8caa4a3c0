"""How a training step runs, as far as the memory of its activations depends on it.

Numbers are float32, but for what matrix products give under bfloat16 autocast: `low` bytes each. Autocast casts the
float32 input of every Linear anew, and each copy is kept for the way back.
"""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Step:
    """One micro-batch: `sequences` of `length` tokens; `documents` where they are kept apart (data.separate_documents).

    `compiled`: recurrences that have a compiled form on a CPU use it.
    """

    length: int
    sequences: int = 1
    mixed: bool = False
    cuda: bool = False
    documents: bool = False
    compiled: bool = True

    @property
    def low(self) -> int:
        """Bytes of a number that a matrix product gives."""
        return 2 if self.mixed else 4

    def read(self, width: float, linears: int = 1) -> float:
        """Bytes kept of a float32 tensor because so many Linear layers read it."""
        return 2.0 * linears * width if self.mixed else 4.0 * width

    def raised(self, width: float) -> float:
        """Bytes of the float32 copy of a low tensor, which without autocast is the tensor itself."""
        return 4.0 * width if self.mixed else 0.0
