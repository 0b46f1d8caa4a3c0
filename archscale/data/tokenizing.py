"""Tokenizers: bytes of a document to token ids.

bytes        one token a byte: no vocabulary file, no training
llama2_ids   documents that are token ids already, as little-endian uint16: the 32,000 tokens of Llama 2, 2 of which
             ends a document; any program may have made them
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from archscale.registry import Registry, UserError


@dataclass(frozen=True, kw_only=True)
class Tokenizer:
    """`end_of_document` follows every document, so that boundaries can be found in the token stream.

    `decode` reads the bytes of a document as ids.
    """

    vocab_size: int
    end_of_document: int
    dtype: type[np.unsignedinteger]
    decode: Callable[[bytes], np.ndarray]

    def encode(self, content: bytes) -> np.ndarray:
        """
        Raises:
            UserError: for ids outside the vocabulary, or bytes that are no ids.
        """
        return self.decode(content).astype(self.dtype)


TOKENIZERS: Registry[Tokenizer] = Registry("tokenizer")


def _one_a_byte(content: bytes) -> np.ndarray:
    return np.frombuffer(content, dtype=np.uint8)


def _ids_below(vocab_size: int) -> Callable[[bytes], np.ndarray]:
    def read(content: bytes) -> np.ndarray:
        if len(content) % 2:
            raise UserError(
                f"a token file of {len(content)} bytes holds no whole number of 16-bit ids: data.tokenizer=llama2_ids "
                "reads little-endian uint16, for text use data.tokenizer=bytes"
            )
        ids = np.frombuffer(content, dtype="<u2")
        if len(ids) and ids.max() >= vocab_size:
            raise UserError(
                f"a token file has the id {ids.max()}, and the vocabulary ends at {vocab_size - 1}: it was made with "
                "another tokenizer"
            )
        return ids

    return read


# Byte 0 does not occur in text files, so it can mark the end of a document without enlarging the vocabulary.
TOKENIZERS.add("bytes", Tokenizer(vocab_size=256, end_of_document=0, dtype=np.uint8, decode=_one_a_byte))
TOKENIZERS.add(
    "llama2_ids", Tokenizer(vocab_size=32_000, end_of_document=2, dtype=np.uint16, decode=_ids_below(32_000))
)
