"""The overrides that `archscale plan --match-parameters N|ARCH --width-multiple M` stands for."""

import math
from collections.abc import Sequence

from archscale.compose import groups, parse_overrides
from archscale.registry import unknown


def matching(wanted: str | None, multiple: int | None, given: Sequence[str] = ()) -> list[str]:
    """The overrides that --match-parameters and --width-multiple stand for, beside those that are `given`.

    What a study or a scale says of the width makes way for the one that is asked for here. What `given` says of it does
    not: both are of one command, and validation refuses two of them.

    Raises:
        UserError: for what is neither a number nor an architecture.
    """
    found = [] if multiple is None else [f"scale.width_multiple={multiple}"]
    if wanted is None:
        return found
    try:
        number = float(wanted)
    except ValueError:
        number = math.nan
    if math.isfinite(number):
        return [f"scale.target_params={number:.15g}", *_unset("scale.match_arch", given), *found]
    choices = groups()["arch"]
    if wanted not in choices:
        hint = "A number of parameters, 25_000 or 1e9, works too."
        raise unknown("architecture for --match-parameters", wanted, choices, hint=hint)
    return [f"scale.match_arch={wanted}", *_unset("scale.target_params", given), *found]


def _unset(other: str, given: Sequence[str]) -> list[str]:
    keys = {override.get_key_element() for override in parse_overrides(given)}
    return [f"{key}=null" for key in (other, "scale.width") if key not in keys]
