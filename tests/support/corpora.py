"""A small corpus of repetitive text, and specs that train on it in under a second."""

from pathlib import Path
from typing import Any

import numpy as np

from archscale.data.sources import content_hash
from archscale.spec import RunSpec
from tests.support.specs import small_spec

SAMBAY_STACK = [
    {"span": "half", "tile": [{"mixer": "mamba"}, {"mixer": "window_attention"}]},
    {"span": 2, "tile": [{"mixer": "mamba", "write": ["memory"]}, {"mixer": "attention", "write": ["kv"]}]},
    {"span": "rest", "tile": [{"mixer": "gmu"}, {"mixer": "cross_attention"}]},
]


def write_corpus(folder: Path) -> Path:
    """60 files of words drawn from a small vocabulary: learnable, and different from file to file."""
    folder.mkdir(parents=True, exist_ok=True)
    words = ["alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta"]
    for number in range(60):
        chosen = np.random.default_rng(number).choice(words, size=80)
        (folder / f"{number}.txt").write_text(" ".join(chosen))
    content_hash.cache_clear()
    return folder


def trainable_spec(texts: Path, *, sambay: bool = False, **changes: Any) -> RunSpec:
    if sambay:
        changes = {"arch.stack": SAMBAY_STACK, "arch.positions": "none", "arch.name": "sambay"} | changes
    settings = {"data.path": str(texts), "data.content_hash": content_hash("text_files", str(texts))}
    return small_spec(**(settings | changes))
