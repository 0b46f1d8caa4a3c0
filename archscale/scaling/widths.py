"""The integer at which a count comes nearest to a target: widths, and depths of the ladder."""

from collections.abc import Callable
from math import floor, sqrt


def nearest_multiple(count: Callable[[int], float], target: float, *, multiple: int, near: int) -> int:
    """The multiple at which `count` is nearest to `target`, the smaller one of two that are equally near.

    `count` may not fall, but may jump and rest: mixers round their heads. So the two neighbours of the crossing are the
    only candidates, and a bracket finds them. It is cut where √count, almost linear in the width, meets √target; where
    that does not halve it, because of a jump, the next cut does. Five counts are usual, twice log₂ of `near` the worst.
    """
    below, above = 0, max(1, round(near / multiple))
    counts: dict[int, float] = {below: 0}

    def at(step: int) -> float:
        if step not in counts:
            counts[step] = count(step * multiple)
        return counts[step]

    while at(above) < target:
        below, above = above, 2 * above
    halve = False
    while above - below > 1:
        before, low, high = above - below, sqrt(at(below)), sqrt(at(above))
        middle = (below + above) // 2 if halve else below + floor(before * (sqrt(target) - low) / (high - low))
        middle = min(max(middle, below + 1), above - 1)
        below, above = (middle, above) if at(middle) < target else (below, middle)
        halve = not halve and above - below > before / 2
    best = above if below == 0 else min((below, above), key=lambda step: abs(at(step) - target))
    return best * multiple
