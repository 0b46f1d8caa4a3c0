"""What the rows of a plan are called: the architecture, and where several rows share one shape, what sets them apart.

arch                      arch seed            title
sambay                    sambay 1             μP++ batch scaling
every row its own shape   several seeds        several rules, in a study of one architecture
"""

from collections import defaultdict
from collections.abc import Sequence

from archscale.identity import short_count
from archscale.study import Cell


def row_labels(cells: Sequence[Cell]) -> tuple[str, list[str]]:
    """The heading of the labels, in two lines where it is long, and one label a cell, in their order."""
    settings = [dict(override.split("=", 1) for override in cell.overrides) for cell in cells]
    alike: dict[tuple[object, ...], list[int]] = defaultdict(list)
    for place, cell in enumerate(cells):
        scale = cell.spec.scale
        # Tokens as they are shown: whole batches of another size make a few more or fewer.
        alike[cell.spec.arch.name, scale.depth, scale.width, short_count(cell.spec.tokens)].append(place)
    keys = _telling_keys([[settings[place] for place in places] for places in alike.values() if len(places) > 1])
    names = [cell.spec.arch.name for cell in cells]
    parts = [key.rpartition(".")[2] for key in keys]
    labels = [" ".join(row[key].strip("'") for key in keys if key in row) for row in settings]
    if len(set(names)) > 1 or not keys:
        parts = ["arch", *parts]
        labels = [f"{name} {label}".rstrip() for name, label in zip(names, labels, strict=True)]
    return _folded(parts), labels


def _telling_keys(groups: Sequence[Sequence[dict[str, str]]]) -> list[str]:
    """One key that tells the rows of every group apart where there is one, else those that each tell more apart."""

    def told_apart(keys: Sequence[str]) -> list[int]:
        return [len({tuple(row.get(key) for key in keys) for row in group}) for group in groups]

    every = [len(group) for group in groups]
    given = list(dict.fromkeys(key for group in groups for row in group for key in row))
    for key in given:
        if groups and told_apart([key]) == every:
            return [key]
    chosen: list[str] = []
    for key in given:
        if told_apart([*chosen, key]) != told_apart(chosen):
            chosen.append(key)
    return chosen


def _folded(parts: Sequence[str]) -> str:
    whole = " ".join(parts)
    return whole if len(whole) <= 14 or len(parts) < 2 else f"{parts[0]}\n{' '.join(parts[1:])}"
