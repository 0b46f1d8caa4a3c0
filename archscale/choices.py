"""What `archscale list KIND` shows: the names a user can choose, each with what it is."""

import sys
from collections import Counter
from collections.abc import Callable, Sequence

import yaml
from rich.console import Group

from archscale.compose import group_file, groups, load_config, load_spec, parse_overrides
from archscale.registry import UserError, unknown

Rows = list[tuple[str, ...]]
TABLE_6 = ("sp", "mup", "mup_pp")


def choices_of(kind: str) -> Rows:
    """One row a choice: its name, and a few words.

    Raises:
        UserError: for a kind that is not there.
    """
    kinds: dict[str, Callable[[], Rows]] = {"study": _studies, "law": _laws, "mixer": _mixers, "arch": _architectures}
    kinds |= {group: (lambda group=group: _group(group)) for group in groups() if group not in kinds}  # type: ignore[misc]
    if kind not in kinds:
        raise unknown("kind", kind, kinds)
    return kinds[kind]()


def rules_table(kind: str, overrides: Sequence[str], *, as_table: bool) -> Group:
    """Table 6 in the cell of the overrides: every parametrization without options, or the one they choose.

    Raises:
        UserError: for anything but parametrizations, and for overrides without a table.
    """
    from archscale.parametrizations.table import table_six

    if kind != "parametrization" or not as_table:
        raise UserError(
            f"list {kind} takes neither overrides nor --table: write `archscale list {kind}`, or `archscale list "
            "parametrization --table [KEY=VALUE …]`"
        )
    cell = ["scale=paper", "optim=paper", *overrides]
    if "parametrization" in {override.get_key_element() for override in parse_overrides(overrides)}:
        return table_six([load_spec(cell)])
    plain = [name for name in groups()["parametrization"] if _rules(name) == name]
    ordered = [*TABLE_6, *(name for name in plain if name not in TABLE_6)]
    return table_six([load_spec([*cell, f"parametrization={name}"]) for name in ordered])


def _rules(choice: str) -> str:
    return load_config([f"parametrization={choice}"]).parametrization.name


def _architectures() -> Rows:
    from archscale.model.stack import diagram, expand

    rows: Rows = []
    for name in groups()["arch"]:
        arch = load_config([f"arch={name}"]).arch
        rows.append((name, arch.title, diagram(expand(arch, 16)), f"α = {arch.aspect_ratio}"))
    return rows


def _studies() -> Rows:
    from archscale.study import load_study, study_names

    return [(name, load_study(name).title) for name in study_names()]


def _laws() -> Rows:
    from analysis.laws import LAWS

    return [(name, law.equation) for name, law in LAWS.items()]


def _mixers() -> Rows:
    from archscale.model.mixers import MIXERS

    homes = Counter(mixer.__module__ for mixer in MIXERS.values())
    rows: Rows = []
    for name, mixer in sorted(MIXERS.items()):
        # A module's sentence says what its only mixer is; of several it says what they have in common.
        own = mixer.__doc__ if homes[mixer.__module__] > 1 else None
        text = own or sys.modules[mixer.__module__].__doc__ or ""
        rows.append((name, text.strip().split("\n")[0]))
    return rows


def _group(group: str) -> Rows:
    rows: Rows = []
    for name in groups()[group]:
        text = group_file(group, name).read_text()
        first = text.splitlines()[0] if text.strip() else ""
        rows.append((name, first.removeprefix("#").strip() if first.startswith("#") else str(yaml.safe_load(text))))
    return rows
