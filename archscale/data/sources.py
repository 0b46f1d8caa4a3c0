"""Where text comes from: a source yields named documents, the same ones in the same order on every call.

`python_stdlib` is real text that lies on every machine that can run this program: the sources and docstrings of the
Python standard library (about 12 MB), without its test suites, which Debian's packages leave out.
"""

import hashlib
import itertools
import os
import sysconfig
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from archscale.registry import Registry, UserError


@dataclass(frozen=True, kw_only=True)
class Document:
    name: str
    content: bytes


Source = Callable[[str | None], Iterator[Document]]
SOURCES: Registry[Source] = Registry("data source")

_NOT_TEXT_OF_THE_LIBRARY = {"site-packages", "dist-packages", "test", "tests", "idle_test", "__pycache__"}


@SOURCES.register("python_stdlib")
def python_stdlib(path: str | None) -> Iterator[Document]:
    """Every .py file of this interpreter's standard library, by relative path; `path` is not used."""
    folder = Path(sysconfig.get_paths()["stdlib"])
    found: list[Path] = []
    for place, folders, files in os.walk(folder):
        # Not entered at all: the packages installed beside the library may be a hundred times as many files.
        folders[:] = [name for name in folders if name not in _NOT_TEXT_OF_THE_LIBRARY]
        found += [Path(place, name) for name in files if name.endswith(".py")]
    for file in sorted(found):
        # Debian links some files (sitecustomize.py) to the machine's own configuration: not part of the library.
        if not file.is_symlink():
            yield Document(name=file.relative_to(folder).as_posix(), content=file.read_bytes())


@SOURCES.register("text_files")
def text_files(path: str | None) -> Iterator[Document]:
    """Every regular file below the folder `data.path`, by relative path."""
    if path is None:
        raise UserError("data.path is missing: data=text_files needs data.path=FOLDER, the folder with your text files")
    folder = Path(path).expanduser()
    if not folder.is_dir():
        raise UserError(f"data.path = {path}: no such folder; give the folder that holds your text files")
    for file in sorted(folder.rglob("*")):
        if file.is_file():
            yield Document(name=file.relative_to(folder).as_posix(), content=file.read_bytes())


@SOURCES.register("token_files")
def token_files(path: str | None) -> Iterator[Document]:
    """Every regular file below the folder `data.path` that ends in .bin: token ids, for a tokenizer that reads them."""
    if path is None:
        raise MissingPathError(
            "data.path is missing: this data is token ids made elsewhere, use data.path=FOLDER, the folder with your "
            ".bin files"
        )
    for document in text_files(path):
        if document.name.endswith(".bin"):
            yield document


class MissingPathError(UserError):
    """A corpus that may lie anywhere, and where is not said: enough for a plan, not for a run."""


# Of a corpus whose path is missing. A plan may have it, `open_corpus` refuses it.
NO_CONTENT = "unread"


@lru_cache(maxsize=8)
def content_hash(source: str, path: str | None) -> str:
    """16 hex digits over every document's name and content; read once per process. NO_CONTENT where path is missing.

    Raises:
        UserError: when the source has no documents.
    """
    total, documents = hashlib.blake2b(digest_size=8), 0
    try:
        found = SOURCES[source](path)
        first = next(iter(found), None)
    except MissingPathError:
        return NO_CONTENT
    for document in itertools.chain([first] if first else [], found):
        total.update(os.fsencode(document.name) + f"\0{len(document.content)}\0".encode())
        total.update(document.content)
        documents += 1
    if not documents:
        raise UserError(f"data source {source!r} has no documents at {path}: choose a folder with text files")
    return total.hexdigest()


def is_validation(document: Document, *, one_in: int = 20) -> bool:
    """The split, by file: a document's own name decides, so that adding files moves none between the parts."""
    digest = hashlib.blake2b(os.fsencode(document.name), digest_size=8).digest()
    return int.from_bytes(digest) % one_in == 0
