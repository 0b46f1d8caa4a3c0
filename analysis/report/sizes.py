"""Are the compared models equally large? Non-embedding parameters where two groups stand side by side:

    cells of a study that differ in the architecture alone        where the runs say which cell they are
    else, at every depth that both have, sizes that are each the other's nearest
    else the same among all their sizes, whatever the depth

Equal sizes are what makes a gap in loss a property of the architectures; one percent is what the report lets pass.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations

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
        sizes = [part["non_embedding_parameters"].to_numpy(dtype=float) for part in (one, two)]
        distance = np.abs(np.log(sizes[0][:, None] / sizes[1]))
        for i in range(len(one)):
            j = int(distance[i].argmin())
            if distance[:, j].argmin() != i:
                continue
            both = [
                (float(sizes[0][i]), a, int(one["depth"].iloc[i])),
                (float(sizes[1][j]), b, int(two["depth"].iloc[j])),
            ]
            (more, larger, at), (less, smaller, other) = sorted(both, key=lambda model: -model[0])
            yield SizeGap(
                groups=(larger, smaller),
                depths=(at, other),
                non_embedding_parameters=(more, less),
                excess=more / less - 1,
            )


def _sides(first: pd.DataFrame, second: pd.DataFrame) -> list[tuple[pd.DataFrame, pd.DataFrame]]:
    for column in ("setting", "depth"):
        common = sorted(set(first[column].dropna()) & set(second[column].dropna()))
        if common:
            return [(first[first[column] == value], second[second[column] == value]) for value in common]
    return [(first, second)]
