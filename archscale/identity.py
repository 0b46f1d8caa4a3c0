"""Run identity: a readable name plus a short hash over the fields that change the result.

    id = <arch>-d<depth>-w<width>-<tokens>-<parametrization>-s<seed>-<first 10 hex digits of blake2b>

The hash is taken of canonical JSON (sorted keys, no spaces) of all fields that are part of the identity and differ
from their default. So a field added later with a default that keeps the old behaviour orphans no finished run, and
paths, resources and logging never split one run in two.
"""

import dataclasses
import hashlib
import json
from typing import Any

from archscale.spec import RunSpec


def identity_fields(value: Any) -> Any:
    """Plain JSON types of what the hash sees: identity fields that differ from their defaults."""
    if dataclasses.is_dataclass(value):
        kept = {}
        for field in dataclasses.fields(value):
            item = getattr(value, field.name)
            if not field.metadata.get("identity", True) or _is_default(field, item):
                continue
            kept[field.name] = identity_fields(item)
        return kept
    if isinstance(value, tuple | list):
        return [identity_fields(item) for item in value]
    if isinstance(value, dict):
        return {key: identity_fields(item) for key, item in value.items()}
    return value


def run_hash(spec: RunSpec) -> str:
    text = json.dumps(identity_fields(spec), sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
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


def _is_default(field: "dataclasses.Field[Any]", value: Any) -> bool:
    if field.default is not dataclasses.MISSING:
        return bool(field.default == value)
    if field.default_factory is not dataclasses.MISSING:
        return bool(field.default_factory() == value)
    return False
