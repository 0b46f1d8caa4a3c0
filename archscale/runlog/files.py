"""Files that are either whole or absent: write, fsync, rename, fsync the folder."""

import json
import os
import uuid
from pathlib import Path
from typing import Any

from archscale.registry import UserError


def write_atomically(path: Path, content: str | bytes) -> None:
    """Replace `path` by `content`; a reader or a crash at any moment sees the old file or the new one."""
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        with temporary.open("wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make renames inside `folder` durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_json(path: Path, value: Any) -> None:
    write_atomically(path, json.dumps(value, indent=2, sort_keys=False) + "\n")


def read_json(path: Path) -> dict[str, Any] | None:
    """The object in `path`, or None when the file does not exist.

    Raises:
        UserError: when the file holds anything else: we write whole files, so somebody or some disk has changed it.
    """
    try:
        value = json.loads(path.read_text())
    except FileNotFoundError:
        return None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is damaged ({error}): restore it, or delete it to do that part again") from None
    if not isinstance(value, dict):
        raise UserError(f"{path} is damaged (no JSON object): restore it, or delete it to do that part again")
    return value
