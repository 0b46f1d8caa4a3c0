"""Which document each position of a packed sequence belongs to.

    tokens     a b c | d e | f g h        document   0 0 0 1 1 2 2 2        starts   1 0 0 1 0 1 0 0

Attention stays inside a document, convolutions see zeros before its first token, and recurrent states are reset there,
so that packing changes neither the result nor the gradient (arXiv 2507.06607, section 3.2, variable-length training).
`None` in place of `Segments` means one document per row and takes the fast path everywhere.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Segments:
    """`document_BT`: integer document numbers that never decrease along T. Rows are independent of each other."""

    document_BT: Tensor  # noqa: N815

    @classmethod
    def of_lengths(cls, lengths: Sequence[Sequence[int]]) -> "Segments":
        """One list of document lengths per row; all rows must add up to the same length."""
        totals = {sum(row) for row in lengths}
        if len(totals) != 1:
            raise ValueError(f"rows of {sorted(totals)} tokens cannot be packed in one batch: make them equally long")
        rows = [torch.repeat_interleave(torch.arange(len(row)), torch.tensor(row)) for row in lengths]
        return cls(torch.stack(rows))

    @classmethod
    def after(cls, tokens_BT: Tensor, end_of_text: int) -> "Segments":
        """A document ends with its `end_of_text` token; the next token starts a new one."""
        ends_BT = (tokens_BT == end_of_text).long()
        return cls(ends_BT.cumsum(-1) - ends_BT)

    def starts(self) -> Tensor:
        """(B, T), True at the first position of every document, hence always at position 0."""
        starts_BT = torch.ones_like(self.document_BT, dtype=torch.bool)
        starts_BT[:, 1:] = self.document_BT[:, 1:] != self.document_BT[:, :-1]
        return starts_BT

    def same_document(self, back: int) -> Tensor:
        """(B, T), True where the position `back` steps earlier exists and lies in the same document."""
        same_BT = torch.zeros_like(self.document_BT, dtype=torch.bool)
        kept = max(0, self.document_BT.shape[1] - back)
        same_BT[:, back:] = self.document_BT[:, back:] == self.document_BT[:, :kept]
        return same_BT
