"""What a comparison says in plain English: that the runs show a difference, cannot tell, or cannot even be asked."""

from analysis.intervals import Interval
from analysis.laws import Law, Parameter


def differing(law: Law, chosen: tuple[Parameter, ...]) -> str:
    """What is compared, in the plural: "irreducible losses C", or "curves" where it is every parameter."""
    if len(chosen) == len(law.parameters):
        return "curves"
    return " and ".join(_plural(p) for p in chosen)


def untestable(first: int, second: int, *, parameters: int) -> str:
    """Why groups of these sizes cannot be tested, and what would help."""
    counts = f"{first} points" if first == second else f"{first} and {second} points"
    return (
        f"cannot be tested: {counts} for {parameters} parameters in each group leave nothing to measure the noise"
        " with; at least 1 more scale is needed"
    )


def comparison_sentence(
    *,
    groups: tuple[str, str],
    what: str,
    f_statistic: float,
    p_value: float,
    degrees_of_freedom: tuple[int, int],
    differs: bool | None,
    untestable: str,
) -> str:
    """`differs` None means that the test has no residual degree of freedom; `untestable` then tells why."""
    claim = f"the {what} of {groups[0]} and {groups[1]} differ"
    if differs is None:
        return f"Whether {claim} {untestable}."
    p_text = f"p = {p_value:.2g}" if p_value >= 0.001 else "p < 0.001"
    figures = f"F({degrees_of_freedom[0]}, {degrees_of_freedom[1]}) = {f_statistic:.3g}, {p_text}"
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
    if not parameter.meaning:
        return f"values of {parameter.name}"
    return f"{parameter.meaning}{'es' if parameter.meaning.endswith('s') else 's'} {parameter.name}"
