"""Are the compared models equally large? Non-embedding parameters where two groups stand side by side:

    cells of a study that differ in the architecture alone        where the runs say which cell they are
    else, at every depth that both have, sizes that are each the other's nearest
    else the same among all their sizes, whatever the depth

Equal sizes are what makes a gap in loss a property of the architectures; one percent is what the report lets pass.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from analysis import formatting
from analysis.report.gathered import Gathered

SAME_SIZE = 0.01


@dataclass(frozen=True, kw_only=True)
class SizeGap:
    """Two models side by side, the larger first; `excess` is what it has more, as a fraction of the smaller."""

    groups: tuple[str, str]
    depths: tuple[int, int]
    non_embedding_parameters: tuple[float, float]
    excess: float

    @property
    def sentence(self) -> str:
        """Without a full stop."""
        (larger, smaller), counts = self.groups, [formatting.count(n) for n in self.non_embedding_parameters]
        at, other = (f" at depth {depth}" for depth in self.depths)
        same = self.depths[0] == self.depths[1]
        return (
            f"{larger}{'' if same else at} has {100 * self.excess:.1f} % more non-embedding parameters than {smaller}"
            f"{at if same else other} ({counts[0]} against {counts[1]})"
        )


def size_gaps(models: pd.DataFrame) -> list[SizeGap]:
    """Of every pair of groups, each once; `models` has a column `label` beside those of COLUMNS named here."""
    sizes = models[["label", "setting", "depth", "non_embedding_parameters"]].dropna(
        subset=["non_embedding_parameters"]
    )
    by_label = {str(label): part for label, part in sizes.groupby("label", sort=True)}
    found = [gap for a, b in combinations(by_label, 2) for gap in _pair(a, by_label[a], b, by_label[b])]
    return list(dict.fromkeys(found))


@lru_cache(maxsize=1)
def compared_sizes(evidence: Gathered) -> list[SizeGap]:
    """Between architectures; other groups, of depths say, may well be meant to differ in size."""
    return size_gaps(evidence.points) if evidence.noun == "architecture" else []


def largest(gaps: list[SizeGap]) -> SizeGap | None:
    return max(gaps, key=lambda gap: gap.excess, default=None)


def unequal(evidence: Gathered) -> Iterator[str]:
    """One sentence on the largest difference, where it is more than a reader may take for equal."""
    gaps = compared_sizes(evidence)
    worst, many = largest(gaps), sum(gap.excess > SAME_SIZE for gap in gaps)
    if worst is None or worst.excess <= SAME_SIZE:
        return
    limit = f"{100 * SAME_SIZE:g} %"
    rank = f"the only difference above {limit}" if many == 1 else f"the largest of {many} differences above {limit}"
    yield (
        f"How much of a gap is the architecture's and how much the size's: {worst.sentence}, {rank}. "
        "Widths for equal counts: archscale plan STUDY --match-parameters ARCH; larger models come closer."
    )


def _pair(a: str, first: pd.DataFrame, b: str, second: pd.DataFrame) -> Iterator[SizeGap]:
    for one, two in _sides(first, second):
        sizes = [np.array([size for _, size in models]) for models in (one, two)]
        distance = np.abs(np.log(sizes[0][:, None] / sizes[1]))
        for i in range(len(one)):
            j = int(distance[i].argmin())
            if distance[:, j].argmin() != i:
                continue
            both = [(one[i][1], a, one[i][0]), (two[j][1], b, two[j][0])]
            (more, larger, at), (less, smaller, other) = sorted(both, key=lambda model: -model[0])
            yield SizeGap(
                groups=(larger, smaller),
                depths=(at, other),
                non_embedding_parameters=(more, less),
                excess=more / less - 1,
            )


# Depth and non-embedding parameters of every run of one side.
_Models = tuple[tuple[int, float], ...]


def _sides(first: pd.DataFrame, second: pd.DataFrame) -> list[tuple[_Models, _Models]]:
    """Each two sides once, though a thousand cells that differ in their seed have the same ones."""
    for column in ("setting", "depth"):
        ours, theirs = _by(first, column), _by(second, column)
        if common := sorted(set(ours) & set(theirs)):
            return list(dict.fromkeys((ours[value], theirs[value]) for value in common))
    return [(_models(first), _models(second))]


def _by(models: pd.DataFrame, column: str) -> dict[Any, _Models]:
    known = models.dropna(subset=[column])
    found: dict[Any, list[tuple[int, float]]] = {}
    for value, model in zip(known[column], _models(known), strict=True):
        found.setdefault(value, []).append(model)
    return {value: tuple(rows) for value, rows in found.items()}


def _models(models: pd.DataFrame) -> _Models:
    depths, sizes = models["depth"], models["non_embedding_parameters"]
    return tuple((int(depth), float(size)) for depth, size in zip(depths, sizes, strict=True))
