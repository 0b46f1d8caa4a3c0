"""Tokenizers: bytes of a document to token ids. `bytes` needs no vocabulary file and no training."""

from dataclasses import dataclass

import numpy as np

from archscale.registry import Registry


@dataclass(frozen=True, kw_only=True)
class Tokenizer:
    """`end_of_document` follows every document, so that boundaries can be found in the token stream."""

    vocab_size: int
    end_of_document: int
    dtype: type[np.unsignedinteger]

    def encode(self, content: bytes) -> np.ndarray:
        return np.frombuffer(content, dtype=np.uint8).astype(self.dtype)


TOKENIZERS: Registry[Tokenizer] = Registry("tokenizer")
# Byte 0 does not occur in text files, so it can mark the end of a document without enlarging the vocabulary.
TOKENIZERS.add("bytes", Tokenizer(vocab_size=256, end_of_document=0, dtype=np.uint8))
