"""What the runs themselves show, without any curve: fall with scale, gaps at common scales, distance to unigrams."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis import formatting
from analysis.report.evidence import Evidence
from analysis.report.pairs import FEW, leader, pairs, promise
from analysis.report.seeds import seed_spread

# Half a percent of compute moves a loss by less than two seeds differ.
SAME_COMPUTE = 1.005
COMMON_SCALE = 1.6


def monotone(evidence: Evidence) -> Iterator[str]:
    """One sentence for all groups whose loss falls at every step, and one for each whose loss does not."""
    what, falling = evidence.column(evidence.settings.x).phrase, []
    for label in evidence.names:
        means = (
            evidence.points[evidence.points["label"] == label].groupby(evidence.settings.x)[evidence.settings.y].mean()
        )
        losses, scales = means.to_numpy(dtype=float), means.index.to_numpy(dtype=float)
        rises = np.flatnonzero(np.diff(losses) >= 0)
        if rises.size:
            steps = formatting.listed(
                f"{evidence.place(scales[i])} to {evidence.place(scales[i + 1])} "
                f"({formatting.signed_loss(losses[i + 1] - losses[i])})"
                for i in rises
            )
            yield f"{label}: the loss does NOT fall with every step in {what}; it rises from {steps}."
        elif len(losses) > 1:
            falling.append(
                f"{label} ({formatting.loss(losses[0])} to {formatting.loss(losses[-1])} in "
                f"{formatting.plural(len(losses) - 1, 'step')})"
            )
    if falling:
        yield f"The loss falls with every step in {what} for {formatting.listed(falling)}."


def common_scales(evidence: Evidence, labels: Sequence[str]) -> pd.DataFrame:
    """Losses and scales of runs that stand side by side: columns (y, label) and (x, label), a row a common scale.

    Two groups' scales are common where each is the other's nearest and they lie within a factor COMMON_SCALE; the
    first of `labels` is the one the others are matched to. Runs of one group at one x are averaged.
    """
    x, y = evidence.settings.x, evidence.settings.y
    means = {
        label: evidence.points[evidence.points["label"] == label].groupby(x)[y].mean().sort_index() for label in labels
    }
    anchor = means[labels[0]].index.to_numpy(dtype=float)
    rows = {place: {(x, labels[0]): anchor[place], (y, labels[0]): loss} for place, loss in enumerate(means[labels[0]])}
    for label in labels[1:]:
        other = means[label].index.to_numpy(dtype=float)
        distance = np.abs(np.log(anchor[:, None] / other))
        for place in range(len(anchor)):
            nearest = int(distance[place].argmin())
            if distance[:, nearest].argmin() == place and distance[place, nearest] <= np.log(COMMON_SCALE):
                rows[place] |= {(x, label): other[nearest], (y, label): float(means[label].iloc[nearest])}
    columns = pd.MultiIndex.from_product([[x, y], labels])
    return pd.DataFrame.from_dict(rows, orient="index").reindex(columns=columns).dropna()


def gaps(evidence: Evidence) -> Iterator[str]:
    """Which of two groups has the lower measured loss at the scales that both have; of many, the leader's in one
    sentence."""
    compact: list[str] = []
    best = leader(evidence)
    for first, second in pairs(evidence):
        side = _side_by_side(evidence, first, second)
        if side is None:
            continue
        alike = side.winner == best and len(side.sizes) > 1 and side.equal_cost
        if len(evidence.names) > FEW and alike and promise(evidence) not in {first, second} - {best}:
            loser = second if best == first else first
            compact.append(f"{loser} ({side.sizes[0]} to {side.sizes[-1]})")
        else:
            yield side.sentence
    if compact:
        yield (
            f"The measured loss of {best} is lower at every common scale than that of {formatting.listed(compact)}: in "
            "brackets, by how much at the smallest and at the largest."
        )


@dataclass(frozen=True, kw_only=True)
class _SideBySide:
    """`winner` is the group that is lower everywhere, if one is; `sizes` are the gaps by scale, in words."""

    winner: str | None
    sizes: tuple[str, ...]
    equal_cost: bool
    sentence: str


def _side_by_side(evidence: Evidence, first: str, second: str) -> _SideBySide | None:
    """Of the runs themselves, at the scales that both groups have; what they spent there may differ a little."""
    x, y = evidence.settings.x, evidence.settings.y
    both = common_scales(evidence, [first, second])
    if both.empty:
        return None
    spread = seed_spread(evidence, level=evidence.settings.level)
    counts = [evidence.points[evidence.points["label"] == label].groupby(x).size() for label in (first, second)]
    difference = (both[y, first] - both[y, second]).to_numpy(dtype=float)
    sizes = []
    for place, size in enumerate(difference):
        runs = [int(n.loc[both[x, label].iloc[place]]) for n, label in zip(counts, (first, second), strict=True)]
        within = spread is not None and abs(size) <= spread.limit(*runs)
        sizes.append(formatting.small(size) + (", within seed spread," if within else ""))
    at = [evidence.place(scale) for scale in both[x, first]]
    cost, equal_cost = _cost(evidence, both[x, first] / both[x, second], first, second)
    winner = first if (difference < 0).all() else second if (difference > 0).all() else None
    if winner:
        loser = second if winner == first else first
        where = f"at all {len(difference)} common scales" if len(difference) > 1 else "at the one common scale"
        ends = sorted({0, len(difference) - 1})
        by = " and ".join(f"{sizes[place]} at {at[place]}" for place in ends)
        text = f"The measured loss of {winner} is lower than that of {loser} {where}: by {by}.{cost}"
    else:
        parts = []
        for word, found in (("lower", difference < 0), ("higher", difference > 0), ("equal", difference == 0)):
            places = [f"{at[i]} (by {sizes[i].rstrip(',')})" if difference[i] else at[i] for i in np.flatnonzero(found)]
            parts += [f"{word} at {formatting.listed(places)}"] if places else []
        text = f"The measured loss of {first}, against that of {second}, is {formatting.listed(parts)}.{cost}"
    return _SideBySide(
        winner=winner, sizes=tuple(size.rstrip(",") for size in sizes), equal_cost=equal_cost, sentence=text
    )


def seeds(evidence: Evidence) -> Iterator[str]:
    spread = seed_spread(evidence, level=evidence.settings.level)
    if spread is not None:
        size = f"{formatting.residual_std(spread.standard_deviation)} {evidence.loss_unit}".rstrip()
        yield (
            f"Runs of one cell differ with a standard deviation of {size} (from "
            f"{formatting.plural(spread.cells, 'cell')}, "
            f"{formatting.plural(spread.degrees_of_freedom, 'degree')} of freedom): a gap between two single runs "
            f"below {formatting.small(spread.limit())} is within seed spread."
        )


def _cost(evidence: Evidence, ratio: pd.Series, first: str, second: str) -> tuple[str, bool]:
    what = evidence.column(evidence.settings.x).phrase
    if ratio.between(1 / SAME_COMPUTE, SAME_COMPUTE).all():
        # What a table's x stands for is its author's choice; only of runs is it known to have been spent.
        verb = "spent the same" if evidence.table.noun == "runs" else "stand at the same"
        return f" They {verb} {what} there.", True
    spent = " to ".join(dict.fromkeys(f"{end:.3g}" for end in (ratio.min(), ratio.max())))
    return f" There {first} spent {spent} times the {what} of {second}.", False


def against_entropy(evidence: Evidence) -> Iterator[str]:
    entropy = evidence.unigram_entropy
    if entropy is None:
        return
    below = entropy - evidence.points[evidence.settings.y]
    yield (
        f"The losses are {formatting.loss(below.min())} to {formatting.loss(below.max())} {evidence.loss_unit} below "
        f"the unigram entropy of the corpus, {formatting.loss(entropy)}."
        if below.min() > 0
        else f"{int((below <= 0).sum())} of {len(below)} runs are not below the unigram entropy of the corpus, "
        f"{formatting.loss(entropy)}: they learned no more than the frequency of each token."
    )
