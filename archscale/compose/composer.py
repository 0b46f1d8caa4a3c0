"""Overrides to RunConfigs, many of them: a section (arch, scale, …) that has been seen is not made again.

    settings ─choices of groups─▶ Hydra, once a choice ─┐
             ─values, by section──────────────────────▶ section, validated once ─▶ RunConfig

So a study of 10,000 cells validates as many scales as it has, and each of its architectures once.
"""

import copy
import dataclasses
import json
from collections.abc import Iterable
from typing import Any

from archscale.compose.config import RunConfig
from archscale.compose.groups import Choices, compose_groups, groups
from archscale.compose.overrides import Setting
from archscale.compose.stack import normalised_stack
from archscale.paths import conf_folders
from archscale.registry import UserError, unknown
from archscale.spec import from_fields, from_mapping

WHERE = "configuration"
_SECTIONS: dict[str, Any] = {entry.name: entry.type for entry in dataclasses.fields(RunConfig)}


class Composer:
    """Reads the folders of choices when it is made, so make a new one where files may have changed."""

    def __init__(self) -> None:
        self.available = groups()
        self.folders = tuple(conf_folders())
        # Choices of other groups seldom change a section: what it starts from is its key, not they.
        self._starts: dict[tuple[Choices, str], str] = {}
        self._made: dict[tuple[str, ...], Any] = {}

    def config(self, settings: Iterable[Setting]) -> RunConfig:
        """
        Raises:
            UserError: one line naming the key, the value, and the choices or near names.
        """
        chosen: dict[str, str] = {}
        by_section: dict[str, list[Setting]] = {}
        for setting in settings:
            section = setting.key.partition(".")[0]
            if setting.key in self.available:
                chosen[setting.key] = self._choice(setting)
            elif section in _SECTIONS:
                by_section.setdefault(section, []).append(setting)
            else:
                raise UserError(f"{WHERE}: {unknown('key', section, _SECTIONS)}")
        choices = tuple(sorted(chosen.items()))
        composed = compose_groups(choices, self.folders)
        if strange := set(composed) - set(_SECTIONS):
            raise UserError(f"{WHERE}: {unknown('key', min(strange), _SECTIONS)}")
        fields = {
            name: self._section(choices, composed, name, by_section.get(name, []))
            for name in _SECTIONS
            if name in composed or name in by_section
        }
        return from_fields(RunConfig, fields, where=WHERE)

    def _choice(self, setting: Setting) -> str:
        choice, choices = str(setting.value), self.available[setting.key]
        if choice not in choices:
            raise unknown(setting.key, choice, choices, hint=f"See `archscale list {setting.key}`.")
        return choice

    def _section(self, choices: Choices, composed: dict[str, Any], name: str, settings: list[Setting]) -> Any:
        if (choices, name) not in self._starts:
            self._starts[choices, name] = json.dumps(composed.get(name), sort_keys=True)
        key = (name, self._starts[choices, name], *(setting.text for setting in settings))
        if key not in self._made:
            values = {name: copy.deepcopy(composed[name])} if name in composed else {}
            for setting in settings:
                _set(values, setting.key, setting.value)
            self._made[key] = _validated(name, values[name])
        return self._made[key]


def _validated(name: str, value: Any) -> Any:
    if name == "arch":
        value = value | {"stack": normalised_stack(value.get("stack", []))}
    if name == "debug":
        value = value or {}
    return from_mapping(_SECTIONS[name], value, where=WHERE, prefix=(name,))


def _set(values: dict[str, Any], key: str, value: Any) -> None:
    """Set a dotted key; whether it exists is left to validation, which knows the fields that YAML need not name."""
    *path, last = key.split(".")
    here = values
    for depth, part in enumerate(path):
        here = here.setdefault(part, {})
        if not isinstance(here, dict):
            parent = ".".join(path[: depth + 1])
            raise UserError(f"override {key}={value}: {parent} holds the value {here!r}, not a group of keys")
    here[last] = value
