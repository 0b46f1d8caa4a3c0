"""JSON and mappings to frozen dataclasses and back; whatever pydantic objects to becomes one line for the user."""

import dataclasses
import json
from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from archscale.registry import UserError, unknown

Frozen = TypeVar("Frozen")


def from_json(kind: type[Frozen], text: str, *, where: str, prefix: tuple[str, ...] = ()) -> Frozen:
    """Parse and validate; `where` names the source in the error, `prefix` leads from there to `kind`.

    Raises:
        UserError: one line with the key, the value, and the choices or the near names.
    """
    try:
        return _adapter(kind).validate_json(text, strict=True)
    except ValidationError as error:
        raise UserError(f"{where}: {_one_line(kind, error, prefix)}") from None


def from_mapping(kind: type[Frozen], values: Any, *, where: str, prefix: tuple[str, ...] = ()) -> Frozen:
    return from_json(kind, json.dumps(values), where=where, prefix=prefix)


def from_fields(kind: type[Frozen], fields: Mapping[str, Any], *, where: str) -> Frozen:
    """From values that have the fields' own types, parts that are validated already among them.

    Raises:
        UserError: as `from_json`.
    """
    try:
        return kind(**fields)
    except ValidationError as error:
        raise UserError(f"{where}: {_one_line(kind, error)}") from None


def fields_of(spec: Any) -> dict[str, Any]:
    """Of a frozen dataclass, its own values and not those of its parts."""
    return {entry.name: getattr(spec, entry.name) for entry in dataclasses.fields(spec)}


def to_json(spec: Any) -> dict[str, Any]:
    """Plain JSON types, every field, defaults included."""
    return _adapter(type(spec)).dump_python(spec, mode="json")


# Building one takes as long as validating some hundred specs.
_ADAPTERS: dict[Any, TypeAdapter[Any]] = {}


def _adapter(kind: Any) -> TypeAdapter[Any]:
    if kind not in _ADAPTERS:
        _ADAPTERS[kind] = TypeAdapter(kind)
    return _ADAPTERS[kind]


def _one_line(kind: Any, error: ValidationError, prefix: tuple[str, ...] = ()) -> str:
    first, *others = error.errors(include_url=False)
    # A value that fits no member of a union gives one error a member, at one path deeper than the field itself.
    union = [first, *(e for e in others if e["loc"][:-1] == first["loc"][:-1] and e["input"] == first["input"])]
    path = [str(part) for part in (first["loc"] if len(union) == 1 else first["loc"][:-1])]
    key = ".".join([*prefix, *path])
    if first["type"] in ("unexpected_keyword_argument", "extra_forbidden"):
        names = _field_names(kind, path[:-1])
        return str(unknown("key", key, names)) if names else f"unknown key {key!r}"
    if first["type"] == "json_invalid":
        return f"damaged, no valid JSON ({first['ctx']['error']}): restore it, or delete it to do that part again"
    if first["type"] in ("missing", "missing_argument"):
        return f"{key} is missing: give it a value"
    if first["type"] == "value_error":
        return first["msg"].removeprefix("Value error, ")
    value = first["input"]
    shown = json.dumps(value) if isinstance(value, str | int | float | bool | type(None)) else type(value).__name__
    reasons = " or ".join(
        e["msg"].lower().removeprefix("input should be ").replace("a valid array", "a list") for e in union
    )
    return f"{key} = {shown}: it should be {reasons}"


def _field_names(kind: Any, path: list[str]) -> list[str]:
    for part in path:
        fields = getattr(kind, "__dataclass_fields__", {})
        if part not in fields:
            return []
        kind = fields[part].type
    return list(getattr(kind, "__dataclass_fields__", {}))
