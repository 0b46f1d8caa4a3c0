"""What the runs themselves show, without any curve: falls with scale, gaps at equal depth, distance to the unigrams."""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from analysis import formatting
from analysis.evidence import Evidence
from analysis.table import COLUMNS

# Half a percent of compute moves a loss by less than two seeds differ.
SAME_COMPUTE = 1.005


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


def gap(evidence: Evidence, first: str, second: str) -> Iterator[str]:
    """Of the runs themselves, at the depths that both groups have; the compute they spent there may differ."""
    y, points = evidence.settings.y, evidence.points
    one, two = (points[points["label"] == label].groupby("depth")[[y, "compute"]].mean() for label in (first, second))
    both = one.add_suffix("_one").join(two.add_suffix("_two"), how="inner").sort_index()
    if both.empty:
        return
    difference = both[f"{y}_one"] - both[f"{y}_two"]
    lower, cost = difference < 0, _cost(both, first, second)
    if lower.all() or (~lower).all():
        winner, loser = (first, second) if lower.all() else (second, first)
        where = (
            f"at all {len(difference)} depths"
            if len(difference) > 1
            else f"at the one common depth, {difference.index[0]}"
        )
        sizes = " and ".join(
            f"{formatting.loss(abs(difference[depth]))} at depth {depth}"
            for depth in sorted({difference.index[0], difference.index[-1]})
        )
        yield f"The measured loss of {winner} is lower than that of {loser} {where}: by {sizes}.{cost}"
        return
    depths = formatting.listed(str(depth) for depth in difference.index[lower])
    yield (
        f"The measured loss of {first} is lower than that of {second} at depth {depths} and not at "
        f"{formatting.listed(str(depth) for depth in difference.index[~lower])}.{cost}"
    )


def _cost(both: pd.DataFrame, first: str, second: str) -> str:
    ratio = both["compute_one"] / both["compute_two"]
    if ratio.between(1 / SAME_COMPUTE, SAME_COMPUTE).all():
        return " They spent the same compute there."
    spent = " to ".join(dict.fromkeys(f"{end:.3g}" for end in (ratio.min(), ratio.max())))
    return f" There {first} spent {spent} times the compute of {second}."


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
