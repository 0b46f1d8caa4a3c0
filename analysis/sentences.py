"""What a comparison says in plain English: that the runs show a difference, cannot tell, or cannot even be asked."""

import math
from collections.abc import Sequence

from analysis.formatting import listed
from analysis.intervals import Interval
from analysis.laws import Law, Parameter


def differing(law: Law, chosen: tuple[Parameter, ...]) -> str:
    """What is compared, in the plural: "irreducible losses C", or "curves" where it is every parameter."""
    if len(chosen) == len(law.parameters):
        return "curves"
    return " and ".join(_plural(p) for p in chosen)


def untestable(sizes: Sequence[int], *, parameters: int) -> str:
    """Why groups of these sizes cannot be tested, and what would help."""
    counts = f"{listed(str(size) for size in sizes)} points" if len(set(sizes)) > 1 else f"{sizes[0]} points"
    return (
        f"cannot be tested: {counts} for {parameters} parameters in each group leave nothing to measure the noise"
        " with; at least 1 more scale is needed"
    )


def comparison_sentence(
    *,
    groups: Sequence[str],
    what: str,
    f_statistic: float,
    p_value: float,
    degrees_of_freedom: tuple[int, float],
    differs: bool | None,
    untestable: str,
    among: str = "",
) -> str:
    """`differs` None means that the test has no residual degree of freedom; `untestable` then tells why.

    `among` is the p with which the test counts as one of several.
    """
    claim = f"the {what} of {listed(groups)} differ"
    if differs is None:
        return f"Whether {claim} {untestable}."
    p_text = f"p = {p_value:.2g}" if p_value >= 0.001 else "p < 0.001"
    q, dof = degrees_of_freedom
    figures = f"F({q}, {dof:.3g}) = {f_statistic:.3g}, {p_text}{f', {among}' if among else ''}"
    return f"T{claim[1:]} ({figures})." if differs else f"These runs cannot tell whether {claim} ({figures})."


def gap_sentence(
    *,
    groups: tuple[str, str],
    x: str,
    y_name: str,
    gap: float,
    interval: Interval,
    differs: bool | None,
    extrapolated: bool,
    untestable: str,
) -> str:
    """`x` is the place with its name, as "flops = 6.65e+21"."""
    where = f"At {x}{', beyond the data of at least one group,' if extrapolated else ''}"
    size = f"{abs(gap):.2g} {'lower' if gap < 0 else 'higher'} than" if gap else "the same as"
    fact = f"{where} the fitted {y_name} of {groups[0]} is {size} that of {groups[1]}"
    if differs is None:
        return f"{fact}; whether they differ {untestable}."
    ends = f"{100 * interval.level:g} % interval {interval.low:.2g} to {interval.high:.2g}"
    return f"{fact} ({ends})." if differs else f"{fact}, but these runs cannot tell which is lower ({ends})."


def _plural(parameter: Parameter) -> str:
    """ "exponent of D" becomes "exponents of D beta"."""
    if not parameter.meaning:
        return f"values of {parameter.name}"
    noun, of, rest = parameter.meaning.partition(" of ")
    return f"{noun}{'es' if noun.endswith('s') else 's'}{of}{rest} {parameter.name}"


def leverage_sentence(
    *,
    groups: tuple[str, str],
    x_name: str,
    y_name: str,
    loss: float,
    x_worse: float,
    multiplier: float,
    interval: Interval,
    differs: bool | None,
    extrapolated: bool,
    untestable: str,
) -> str:
    """`groups` are (better, worse)."""
    better, worse = groups
    beyond = "; this leaves the data of at least one group" if extrapolated else ""
    height = f"{y_name} = {loss:.4g}"
    if math.isnan(multiplier):
        return f"The fitted curves of {better} and {worse} never reach {height}."
    if math.isinf(multiplier):
        fact = f"{better} is expected to reach {height} and {worse} never, whatever its {x_name}"
        possible = "" if math.isinf(interval.low) else f" within {interval.low:.3g} times the {x_name} of {better}"
        sure = f"{100 * interval.level:g} % sure: not{possible}" if differs else "these runs cannot tell"
        return f"{fact}{beyond}{'' if differs is None else f' ({sure})'}."
    less = f"{multiplier:.3g} times less" if f"{multiplier:.3g}" != "1" else "as much"
    fact = f"For {height}, which the curve of {worse} has at {x_name} = {x_worse:.3g}, {better} needs {less} {x_name}"
    fact += beyond
    if differs is None:
        return f"{fact}; whether they differ {untestable}."
    low = "0, as it may never get there," if interval.low == 0 else f"{interval.low:.3g}"
    high = f"without limit, as {worse} may never get there" if math.isinf(interval.high) else f"{interval.high:.3g}"
    ends = f"{100 * interval.level:g} % interval {low} to {high}"
    return f"{fact} ({ends})." if differs else f"{fact}, but these runs cannot tell which needs less ({ends})."


def crossing_sentence(
    *,
    groups: tuple[str, str],
    x_name: str,
    level: float,
    points: Sequence[tuple[float, bool]],
    possible: Sequence[Interval],
    searched: tuple[float, float],
    untestable: str,
) -> str:
    """`points` are x and whether it is outside the data; `possible` the ranges of x where they may cross."""
    both = f"The fitted curves of {groups[0]} and {groups[1]}"
    if not points:
        fact = f"{both} do not cross between {x_name} = {searched[0]:.2g} and {searched[1]:.2g}"
    else:
        places = " and ".join(
            f"at {x_name} = {x:.3g}{', beyond the data of at least one group' if outside else ''}"
            for x, outside in points
        )
        fact = f"{both} cross {places}"
    if untestable:
        return f"{fact}; whether that is more than chance {untestable}."
    if not possible:
        return f"{fact}, and these runs exclude a crossing there."
    ranges = " or ".join(_range(part, x_name) for part in possible)
    if any(part.low == 0 and math.isinf(part.high) for part in possible):
        return f"{fact}, but these runs cannot tell where they cross, or whether they do (no {x_name} is excluded)."
    unbounded = any(part.low == 0 or math.isinf(part.high) for part in possible)
    doubt = ", so that they may not cross at all" if points and unbounded else ""
    return f"{fact} ({100 * level:g} % range of a crossing: {ranges}{doubt})."


def _range(part: Interval, x_name: str) -> str:
    if part.low == 0:
        return f"any {x_name} below {part.high:.3g}"
    return f"any {x_name} above {part.low:.3g}" if math.isinf(part.high) else f"{part.low:.3g} to {part.high:.3g}"


def influence_sentence(*, left_out: str, what: str, before: str, after: str, ends: str, changes: Sequence[str]) -> str:
    """`ends` is the interval without what is left out; `changes` are the figures whose conclusion changes then."""
    if not left_out:
        return "No point can be left out: every group needs all of its points."
    fact = f"What decides most is {left_out}: without it the {what} is {after} ({ends}) instead of {before}"
    if not changes:
        return f"{fact}; no conclusion changes without it."
    return f"{fact}. Then {'another conclusion holds' if len(changes) == 1 else 'other conclusions hold'} for the " + (
        f"{listed(changes)}."
    )
