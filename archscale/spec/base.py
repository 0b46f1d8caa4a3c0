"""What every part of a spec shares: strict validation, the mark of fields outside the identity, names of files."""

import re

from pydantic import ConfigDict

STRICT = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)
NOT_IDENTITY = {"identity": False}

Scalar = bool | int | float | str


def check_name(key: str, name: str) -> None:
    """Names become parts of file names."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.+-]*", name):
        raise ValueError(f"{key} = {name!r}: use letters, digits, _ . + and -, beginning with a letter or a digit")
