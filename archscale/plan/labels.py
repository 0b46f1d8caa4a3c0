"""What a row of a plan is called: the architecture, and where several rows share one shape, what sets them apart.

sambay                    the only row of its shape and tokens
sambay seed 1             one of several seeds
μP++ batch scaling        one of several rules, in a study of one architecture
"""

from collections import defaultdict
from collections.abc import Sequence

from archscale.identity import short_count
from archscale.study import Cell


def row_labels(cells: Sequence[Cell]) -> list[str]:
    """One label a cell, in their order."""
    settings = [dict(override.split("=", 1) for override in cell.overrides) for cell in cells]
    alike: dict[tuple[object, ...], list[int]] = defaultdict(list)
    for place, cell in enumerate(cells):
        scale = cell.spec.scale
        # Tokens as they are shown: whole batches of another size make a few more or fewer.
        alike[cell.spec.arch.name, scale.depth, scale.width, short_count(cell.spec.tokens)].append(place)
    groups = [places for places in alike.values() if len(places) > 1]
    keys = _telling_keys([[settings[place] for place in places] for places in groups])
    one_arch = len({cell.spec.arch.name for cell in cells}) == 1
    labels = [cell.spec.arch.name for cell in cells]
    for place in (place for places in groups for place in places):
        told = " ".join(_told(key, settings[place][key]) for key in keys if key in settings[place])
        labels[place] = told if one_arch and told else f"{labels[place]} {told}".rstrip()
    return labels


def _telling_keys(groups: Sequence[Sequence[dict[str, str]]]) -> list[str]:
    """One key that tells the rows of every group apart where there is one, else all that differ in some group."""
    differing = [
        key
        for key in dict.fromkeys(key for group in groups for row in group for key in row)
        if any(len({row.get(key) for row in group}) > 1 for group in groups)
    ]
    for key in differing:
        if all(len({row.get(key) for row in group}) == len(group) for group in groups):
            return [key]
    return differing


def _told(key: str, value: str) -> str:
    """A text speaks for itself, a number or a switch needs the last part of its key."""
    text = value.strip("'")
    if text in ("true", "false", "null") or text.replace(".", "").replace("-", "").replace("e", "").isdigit():
        return f"{key.rpartition('.')[2]} {text}"
    return text
