"""A prepared corpus: two flat files of token ids, memory-mapped, and a manifest.

    <root>/data/<source>-<content hash>/   train.bin  validation.bin  manifest.json

Preparation writes a temporary folder and renames it, so that two processes may prepare the same corpus at once and a
killed one leaves nothing half-made under the final name.
"""

import os
import shutil
import uuid
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from archscale.data.sources import SOURCES, content_hash, is_validation
from archscale.data.tokenizing import TOKENIZERS
from archscale.paths import data_folder
from archscale.registry import UserError
from archscale.runlog.files import sync_folder, write_json
from archscale.spec import DataSpec, from_json


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """`unigram_entropy` in nats per token, of the training part: the loss of the best model without context."""

    content_hash: str
    tokenizer: str
    train_tokens: int
    validation_tokens: int
    train_documents: int
    validation_documents: int
    unigram_entropy: float


@dataclass(frozen=True, kw_only=True)
class Corpus:
    folder: Path
    manifest: Manifest
    train: np.ndarray
    validation: np.ndarray


def open_corpus(data: DataSpec, root: Path) -> Corpus:
    """Memory-map the corpus that `data` names, preparing it first where that has not been done.

    Raises:
        UserError: when the source no longer has the content that the spec was frozen with.
    """
    folder = data_folder(root) / f"{data.source}-{data.tokenizer}-{data.content_hash}"
    if not (folder / "manifest.json").exists():
        _prepare(data, folder)
    manifest = _read_manifest(folder)
    dtype = TOKENIZERS[data.tokenizer].dtype
    for part, tokens in (("train", manifest.train_tokens), ("validation", manifest.validation_tokens)):
        size = (folder / f"{part}.bin").stat().st_size if (folder / f"{part}.bin").exists() else 0
        if size != tokens * np.dtype(dtype).itemsize:
            raise UserError(
                f"{folder}/{part}.bin has {size} bytes, not {tokens} tokens: delete {folder} to make it anew"
            )
    train, validation = (np.memmap(folder / f"{part}.bin", dtype=dtype, mode="r") for part in ("train", "validation"))
    if len(validation) <= data.sequence_length or len(train) <= data.sequence_length:
        raise UserError(
            f"data.sequence_length = {data.sequence_length}: the corpus has {len(train)} training and "
            f"{len(validation)} validation tokens; use shorter sequences or more text"
        )
    return Corpus(folder=folder, manifest=manifest, train=train, validation=validation)


def _read_manifest(folder: Path) -> Manifest:
    try:
        return from_json(Manifest, (folder / "manifest.json").read_text(), where=str(folder / "manifest.json"))
    except (UserError, UnicodeDecodeError):
        raise UserError(f"{folder}/manifest.json is damaged: delete {folder} to make it anew") from None


def _prepare(data: DataSpec, folder: Path) -> None:
    found = content_hash(data.source, data.path)
    if found != data.content_hash:
        raise UserError(
            f"data source {data.source!r} has content {found}, but the run was planned with {data.content_hash}: "
            "restore that text, or plan the run anew"
        )
    tokenizer = TOKENIZERS[data.tokenizer]
    temporary = folder.with_name(f".{folder.name}.{uuid.uuid4().hex}")
    temporary.mkdir(parents=True)
    documents, tokens = {"train": 0, "validation": 0}, {"train": 0, "validation": 0}
    counts = np.zeros(tokenizer.vocab_size, dtype=np.int64)
    end = np.array([tokenizer.end_of_document], dtype=tokenizer.dtype)
    try:
        with (temporary / "train.bin").open("wb") as train, (temporary / "validation.bin").open("wb") as validation:
            files = {"train": train, "validation": validation}
            for document in SOURCES[data.source](data.path):
                part = "validation" if is_validation(document) else "train"
                ids = np.concatenate([tokenizer.encode(document.content), end])
                files[part].write(ids.tobytes())
                documents[part] += 1
                tokens[part] += len(ids)
                if part == "train":
                    counts += np.bincount(ids, minlength=tokenizer.vocab_size)
            for file in files.values():
                file.flush()
                os.fsync(file.fileno())
        if not all(tokens.values()):
            raise UserError(
                f"data source {data.source!r} gives {tokens['train']} training and {tokens['validation']} validation "
                "tokens: the split is by file, so add more files"
            )
        manifest = Manifest(
            content_hash=data.content_hash,
            tokenizer=data.tokenizer,
            train_tokens=tokens["train"],
            validation_tokens=tokens["validation"],
            train_documents=documents["train"],
            validation_documents=documents["validation"],
            unigram_entropy=entropy(counts),
        )
        write_json(temporary / "manifest.json", asdict(manifest))
        try:
            temporary.rename(folder)
            sync_folder(folder.parent)
        except OSError:
            # Another process was first: its folder has the same content, since the hash names it.
            if not (folder / "manifest.json").exists():
                raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def entropy(counts: np.ndarray) -> float:
    """Of the distribution given by counts, in nats."""
    frequencies = counts[counts > 0] / counts.sum()
    return float(-(frequencies * np.log(frequencies)).sum())
