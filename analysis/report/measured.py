"""What the runs themselves show, without any curve: fall with scale, gaps at common scales, distance to unigrams."""

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from analysis import formatting
from analysis.report.evidence import Evidence
from analysis.table import COLUMNS

# Half a percent of compute moves a loss by less than two seeds differ.
SAME_COMPUTE = 1.005
COMMON_SCALE = 1.6


def monotone(evidence: Evidence) -> Iterator[str]:
    """One sentence for all groups whose loss falls at every step, and one for each whose loss does not."""
    what, falling = COLUMNS[evidence.settings.x].meaning.lower(), []
    for label in evidence.names:
        means = (
            evidence.points[evidence.points["label"] == label].groupby(evidence.settings.x)[evidence.settings.y].mean()
        )
        losses, scales = means.to_numpy(dtype=float), means.index.to_numpy(dtype=float)
        rises = np.flatnonzero(np.diff(losses) >= 0)
        if rises.size:
            steps = formatting.listed(
                f"{formatting.scientific(scales[i])} to {formatting.scientific(scales[i + 1])} "
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


def gap(evidence: Evidence, first: str, second: str) -> Iterator[str]:
    """Of the runs themselves, at the scales that both groups have; what they spent there may differ a little."""
    x, y = evidence.settings.x, evidence.settings.y
    both = common_scales(evidence, [first, second])
    if both.empty:
        return
    difference = both[y, first] - both[y, second]
    at = [f"{formatting.scientific(scale)} {COLUMNS[x].unit}".strip() for scale in both[x, first]]
    lower, cost = (difference < 0).to_numpy(), _cost(both[x, first] / both[x, second], first, second, x)
    if lower.all() or (~lower).all():
        winner, loser = (first, second) if lower.all() else (second, first)
        where = f"at all {len(difference)} common scales" if len(difference) > 1 else "at the one common scale"
        ends = sorted({0, len(difference) - 1})
        sizes = " and ".join(f"{formatting.loss(abs(difference.iloc[place]))} at {at[place]}" for place in ends)
        yield f"The measured loss of {winner} is lower than that of {loser} {where}: by {sizes}.{cost}"
        return
    yield (
        f"The measured loss of {first} is lower than that of {second} at "
        f"{formatting.listed(np.array(at)[lower])} and not at {formatting.listed(np.array(at)[~lower])}.{cost}"
    )


def _cost(ratio: pd.Series, first: str, second: str, x: str) -> str:
    what = COLUMNS[x].meaning.lower()
    if ratio.between(1 / SAME_COMPUTE, SAME_COMPUTE).all():
        return f" They spent the same {what} there."
    spent = " to ".join(dict.fromkeys(f"{end:.3g}" for end in (ratio.min(), ratio.max())))
    return f" There {first} spent {spent} times the {what} of {second}."


def against_entropy(evidence: Evidence) -> Iterator[str]:
    entropy = evidence.unigram_entropy
    if entropy is None:
        return
    below = entropy - evidence.points[evidence.settings.y]
    yield (
        f"The losses are {formatting.loss(below.min())} to {formatting.loss(below.max())} nats/token below the unigram "
        f"entropy of the corpus, {formatting.loss(entropy)}."
        if below.min() > 0
        else f"{int((below <= 0).sum())} of {len(below)} runs are not below the unigram entropy of the corpus, "
        f"{formatting.loss(entropy)}: they learned no more than the frequency of each token."
    )
