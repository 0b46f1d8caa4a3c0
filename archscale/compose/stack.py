"""The short form of a stack, as architectures are written, to the fields of LayerSpec."""

from typing import Any

from archscale.registry import UserError


def normalised_stack(stack: Any) -> list[dict[str, Any]]:
    """The short form of a tile, `mamba` or `{mamba: {write: memory, state_size: 8}}`, as LayerSpec fields.

    Raises:
        UserError: for anything of another form, shown as it stands in the file.
    """
    if not isinstance(stack, list):
        raise UserError(f"arch.stack = {stack!r}: it must be a list of {{span: …, tile: […]}}")
    for entry in stack:
        if not isinstance(entry, dict) or not isinstance(entry.get("tile"), list):
            raise UserError(f"arch.stack: {entry!r} must be {{span: half|rest|N, tile: [mixer, …]}}")
    return [entry | {"tile": [_normalised_layer(layer) for layer in entry["tile"]]} for entry in stack]


def _normalised_layer(layer: Any) -> dict[str, Any]:
    if isinstance(layer, str):
        return {"mixer": layer}
    if isinstance(layer, dict) and "mixer" in layer:
        return layer
    if isinstance(layer, dict) and len(layer) == 1:
        ((mixer, given),) = layer.items()
        if given is None or isinstance(given, dict):
            options = dict(given or {})
            written = {key: options.pop(key, []) for key in ("write", "mlp_write")}
            writes = {key: [names] if isinstance(names, str) else names for key, names in written.items()}
            return {"mixer": mixer, **writes, "options": options}
    raise UserError(f"arch.stack: {layer!r} must be a mixer's name, or one with options: {{mamba: {{write: memory}}}}")
