"""Tables that can be reported by name: descriptions of published points, shipped with the package.

analysis/published/NAME.yaml     what the columns mean, which rows, which law; no measurement is packaged
DATA/FOLDER/points.csv           the points, in a folder named by --data or ARCHSCALE_PUBLISHED_DATA
"""

from pathlib import Path

import yaml

from analysis.sources import read_description
from archscale.registry import UserError, unknown

_DESCRIPTIONS = Path(__file__).parents[1] / "published"


def published_names() -> list[str]:
    return sorted(file.stem for file in _DESCRIPTIONS.glob("*.yaml"))


def description(name: str) -> Path:
    """
    Raises:
        UserError: for a name that is not packaged.
    """
    if name not in published_names():
        raise unknown("published table", name, published_names())
    return _DESCRIPTIONS / f"{name}.yaml"


def descriptions_of(folder: Path) -> list[Path]:
    """The packaged descriptions whose points lie in a folder of this name, as in `archscale report FOLDER`.

    Raises:
        UserError: when there is none.
    """
    found = [path for path in map(description, published_names()) if _points(path).parent.name == folder.resolve().name]
    if not found:
        known = ", ".join(sorted({_points(description(name)).parent.name for name in published_names()}))
        raise UserError(
            f"{folder}: nothing packaged describes the points of this folder (known: {known}); name a table in it, "
            "or write a description in YAML"
        )
    return found


def is_description(path: Path) -> bool:
    """Whether a YAML file describes a table, and not a study: it says where its points are."""
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        return False
    return isinstance(values, dict) and "points" in values


def _points(path: Path) -> Path:
    return Path(read_description(path).points)
