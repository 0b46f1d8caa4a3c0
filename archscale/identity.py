"""Run identity: a readable name plus a short hash over the fields that change the result.

    id = <arch>-d<depth>-w<width>-<tokens>-<parametrization>-s<seed>-<first 10 hex digits of blake2b>

The hash is taken of canonical JSON (sorted keys, no spaces) of all fields that are part of the identity and differ
from their default. So a field added later with a default that keeps the old behaviour orphans no finished run, and
paths, resources and logging never split one run in two.
"""

import dataclasses
import hashlib
import json
from functools import lru_cache
from typing import Any

from archscale.spec import RunSpec


def identity_fields(value: Any) -> Any:
    """Plain JSON types of what the hash sees: identity fields that differ from their defaults."""
    if dataclasses.is_dataclass(value):
        kind: type = type(value)
        items = ((name, getattr(value, name), default) for name, default in _identity_names(kind))
        return {name: identity_fields(item) for name, item, default in items if item != default}
    if isinstance(value, tuple | list):
        return [identity_fields(item) for item in value]
    if isinstance(value, dict):
        return {key: identity_fields(item) for key, item in value.items()}
    return value


def run_hash(spec: RunSpec) -> str:
    return hash_of(identity_fields(spec))


def hash_of(fields: Any) -> str:
    """Ten hexadecimal digits of plain JSON types."""
    text = json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return hashlib.blake2b(text.encode(), digest_size=5).hexdigest()


def run_id(spec: RunSpec) -> str:
    scale = spec.scale
    readable = f"{spec.arch.name}-d{scale.depth}-w{scale.width}-{short_count(spec.tokens)}-{spec.parametrization.name}"
    return f"{readable}-s{spec.seed}-{run_hash(spec)}"


def short_count(number: float) -> str:
    """Three significant digits with a suffix: 512000 → 512K, 1.25e9 → 1.25B."""
    for limit, suffix in ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "K")):
        if abs(number) >= limit * 0.9995:
            return f"{number / limit:.3g}{suffix}"
    return f"{number:.3g}"


@lru_cache
def _identity_names(kind: type) -> tuple[tuple[str, Any], ...]:
    """The fields of a dataclass that are part of the identity, with their defaults."""
    fields = [field for field in dataclasses.fields(kind) if field.metadata.get("identity", True)]
    return tuple((field.name, _default(field)) for field in fields)


def _default(field: "dataclasses.Field[Any]") -> Any:
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    # Without a default this is MISSING, which no value equals.
    return field.default
