import json
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from archscale.data.corpus import entropy, open_corpus
from archscale.data.sources import content_hash, is_validation, python_stdlib, text_files, token_files
from archscale.registry import UserError
from archscale.spec import DataSpec


def write_texts(folder, count=60):
    folder.mkdir(exist_ok=True)
    for number in range(count):
        (folder / f"{number}.txt").write_text(f"text number {number} " * 5)
    content_hash.cache_clear()
    return folder


def data_spec(folder, **changes) -> DataSpec:
    settings = {
        "source": "text_files",
        "content_hash": changes.get("content_hash") or content_hash("text_files", str(folder)),
        "vocab_size": 256,
        "sequence_length": 16,
        "validation_tokens": 64,
        "path": str(folder),
    }
    return DataSpec(**(settings | changes))


def test_tokens_are_the_files_bytes_split_by_file(tmp_path):
    texts = write_texts(tmp_path / "texts")
    corpus = open_corpus(data_spec(texts), tmp_path / "runs")
    parts = {True: b"", False: b""}
    for document in text_files(str(texts)):
        parts[is_validation(document)] += document.content + b"\0"
    assert parts[True]
    assert bytes(corpus.train) == parts[False]
    assert bytes(corpus.validation) == parts[True]
    assert isinstance(corpus.train, np.memmap)


def test_unigram_entropy_is_that_of_the_training_bytes(tmp_path):
    corpus = open_corpus(data_spec(write_texts(tmp_path / "texts")), tmp_path / "runs")
    _, counts = np.unique(np.asarray(corpus.train), return_counts=True)
    p = counts / counts.sum()
    assert corpus.manifest.unigram_entropy == pytest.approx(-(p * np.log(p)).sum(), rel=1e-12)
    assert entropy(np.array([3, 3, 0, 3, 3])) == pytest.approx(np.log(4))


def test_the_hash_follows_content_and_names_but_not_the_folder(tmp_path):
    first = content_hash("text_files", str(write_texts(tmp_path / "a")))
    assert content_hash("text_files", str(write_texts(tmp_path / "b"))) == first
    (tmp_path / "b" / "0.txt").write_text("changed")
    content_hash.cache_clear()
    assert content_hash("text_files", str(tmp_path / "b")) != first


def test_text_changed_after_planning_is_refused(tmp_path):
    texts = write_texts(tmp_path / "texts")
    planned = data_spec(texts)
    (texts / "1.txt").write_text("other words")
    content_hash.cache_clear()
    with pytest.raises(UserError, match="was planned with"):
        open_corpus(planned, tmp_path / "runs")


def test_preparing_at_once_leaves_one_whole_corpus(tmp_path):
    data = data_spec(write_texts(tmp_path / "texts"))
    with ThreadPoolExecutor(8) as pool:
        corpora = list(pool.map(lambda _: open_corpus(data, tmp_path / "runs"), range(8)))
    assert len({bytes(corpus.train) for corpus in corpora}) == 1
    entries = list((tmp_path / "runs" / "data").iterdir())
    assert [entry.name for entry in entries] == [f"text_files-bytes-{data.content_hash}"]
    assert json.loads((entries[0] / "manifest.json").read_text())["train_documents"] > 40


def test_adding_a_file_moves_none_between_the_parts(tmp_path):
    texts = write_texts(tmp_path / "texts")
    before = {document.name: is_validation(document) for document in text_files(str(texts))}
    (texts / "new.txt").write_text("new")
    after = {document.name: is_validation(document) for document in text_files(str(texts))}
    assert {name: after[name] for name in before} == before


def test_the_standard_library_is_real_text_of_some_size():
    documents = list(python_stdlib(None))
    assert sum(len(document.content) for document in documents) > 9_000_000
    names = [document.name for document in documents]
    assert names == sorted(names) or len(set(names)) == len(names)
    assert "argparse.py" in names
    assert not any("test" in name.split("/") for name in names)
    share = sum(len(d.content) for d in documents if is_validation(d)) / sum(len(d.content) for d in documents)
    assert 0.02 < share < 0.10


@pytest.mark.parametrize(
    ("path", "words"), [(None, "data.path=FOLDER"), ("/no/such/folder", "no such folder")], ids=["missing", "absent"]
)
def test_a_missing_folder_is_one_clear_line(path, words):
    with pytest.raises(UserError, match=words):
        list(text_files(path))


def test_an_empty_folder_is_refused(tmp_path):
    content_hash.cache_clear()
    with pytest.raises(UserError, match="no documents"):
        content_hash("text_files", str(tmp_path))


def test_sequences_longer_than_the_text_are_refused(tmp_path):
    texts = write_texts(tmp_path / "texts")
    with pytest.raises(UserError, match=r"sequence_length = 100000"):
        open_corpus(data_spec(texts, sequence_length=100_000, validation_tokens=100_000), tmp_path / "runs")


@pytest.mark.parametrize("name", ["train.bin", "validation.bin", "manifest.json"])
@pytest.mark.parametrize("content", [b"", b"abc"])
def test_a_damaged_corpus_is_refused_rather_than_trained_on(tmp_path, name, content):
    data = data_spec(write_texts(tmp_path / "texts"))
    corpus = open_corpus(data, tmp_path / "runs")
    (corpus.folder / name).write_bytes(content)
    with pytest.raises(UserError, match=f"{name}.*delete"):
        open_corpus(data, tmp_path / "runs")


def test_a_file_name_that_is_not_utf_8_is_hashed(tmp_path):
    texts = write_texts(tmp_path / "texts")
    before = content_hash("text_files", str(texts))
    Path(os.fsdecode(os.fsencode(texts) + b"/caf\xe9.txt")).write_text("words")
    content_hash.cache_clear()
    assert content_hash("text_files", str(texts)) != before


def token_folder(folder, count=60):
    folder.mkdir()
    for number in range(count):
        np.arange(number, number + 40, dtype="<u2").tofile(folder / f"{number}.bin")
    (folder / "README").write_text("not tokens")
    content_hash.cache_clear()
    return folder


def token_spec(folder, **changes):
    found = {"source": "token_files", "tokenizer": "llama2_ids", "vocab_size": 32_000}
    return data_spec(folder, **found, content_hash=content_hash("token_files", str(folder)), **changes)


def test_token_files_become_the_corpus_id_by_id(tmp_path):
    folder = token_folder(tmp_path / "ids")
    corpus = open_corpus(token_spec(folder), tmp_path / "runs")
    assert corpus.train.dtype == np.uint16
    expected = [
        np.append(np.fromfile(folder / document.name, "<u2"), 2)
        for document in token_files(str(folder))
        if not is_validation(document)
    ]
    assert np.array_equal(corpus.train, np.concatenate(expected))


def test_without_a_path_token_files_can_be_planned_with_but_not_opened(tmp_path):
    spec = replace(
        token_spec(token_folder(tmp_path / "ids")), path=None, content_hash=content_hash("token_files", None)
    )
    with pytest.raises(UserError, match="data.path=FOLDER"):
        open_corpus(spec, tmp_path / "runs")


@pytest.mark.parametrize(
    ("content", "words"), [(b"odd", "no whole number of 16-bit ids"), (b"\xff\xff", "the id 65535")]
)
def test_files_that_are_no_ids_of_the_vocabulary_are_refused(tmp_path, content, words):
    folder = token_folder(tmp_path / "ids")
    (folder / "7.bin").write_bytes(content)
    with pytest.raises(UserError, match=words):
        open_corpus(token_spec(folder), tmp_path / "runs")
