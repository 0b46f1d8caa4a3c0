"""Where the published measurements are; they are read from outside the repository and never copied into it."""

import os
from pathlib import Path

import pandas as pd
import pytest

_BESIDE_THE_REPOSITORY = Path(__file__).parents[2].parent / "shared" / "data"


def published_folder() -> Path:
    return Path(os.environ.get("ARCHSCALE_PUBLISHED_DATA", _BESIDE_THE_REPOSITORY))


def published(folder: str, file: str) -> pd.DataFrame:
    """Skips the test where the data are absent."""
    path = published_folder() / folder / file
    if not path.is_file():
        pytest.skip(f"no published data at {path}: set ARCHSCALE_PUBLISHED_DATA to the folder that holds {folder}/")
    return pd.read_csv(path)
