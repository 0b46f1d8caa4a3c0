"""KEY=VALUE in Hydra's override grammar, and its values as settings of dotted keys."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException

from archscale.registry import UserError


@dataclass(frozen=True, kw_only=True)
class Setting:
    """`text` is the override that says the same."""

    key: str
    value: Any
    text: str


def parse_overrides(overrides: Iterable[str]) -> list[Override]:
    """Hydra's override grammar.

    Raises:
        UserError: for text that the grammar refuses, additions (+) and deletions (~).
    """
    return [_parse(text) for text in overrides]


def settings_of(overrides: Iterable[str]) -> list[Setting]:
    """
    Raises:
        UserError: as `parse_overrides`, and for an override with several values.
    """
    return [_setting(text) for text in overrides]


def plain_setting(key: str, value: Any) -> Setting:
    """A YAML value for a key. What it would be after a detour through the grammar it is already."""
    text = f"{key}={_grammar(value)}"
    if isinstance(value, HydraText) or not _KEY.fullmatch(key):
        return _setting(text)
    return Setting(key=key, value=value, text=text)


class HydraText(str):
    """A value that is in Hydra's override grammar already."""


def quoted(text: str) -> str:
    """A string in Hydra's override grammar, whatever characters it has."""
    # Inside single quotes a backslash counts only before a quote, or at the end, where it would escape the closing one.
    escaped = re.sub(r"(\\*)('|$)", lambda found: found[1] * 2 + ("\\'" if found[2] else ""), text)
    return f"'{escaped}'"


_KEY = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")
_WORD = re.compile(r"[A-Za-z_][\w./-]*")
_PARSER = OverridesParser.create()


def _grammar(value: Any) -> str:
    """A YAML value in Hydra's override grammar."""
    if isinstance(value, HydraText):
        return value
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return "{" + ",".join(f"{key}:{_grammar(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(_grammar, value)) + "]"
    plain = isinstance(value, str) and _WORD.fullmatch(value)
    if isinstance(value, str) and (not plain or value.lower() in ("null", "true", "false", "nan", "inf")):
        return quoted(value)
    return str(value)


@lru_cache(maxsize=4096)
def _parse(text: str) -> Override:
    try:
        override = _PARSER.parse_override(text)
    except HydraException as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"override {text!r}: {reason}; write KEY=VALUE, e.g. scale.depth=12") from None
    if override.is_add() or override.is_delete() or override.is_force_add():
        raise UserError(f"override {text!r}: every key exists already; write KEY=VALUE without + or ~")
    return override


@lru_cache(maxsize=4096)
def _setting(text: str) -> Setting:
    override = _parse(text)
    if override.is_sweep_override():
        raise UserError(
            f"override {override.input_line!r} has several values: use `archscale train -m`, or the product or zip "
            "section of a study"
        )
    return Setting(key=override.get_key_element(), value=override.value(), text=text)
