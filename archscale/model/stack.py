"""From the stack as data to one LayerSpec per layer, with the flow of shared tensors checked.

    span: half, tile: [M, S]    span: 2, tile: [M→memory, F→kv]    span: rest, tile: [G, C]     at depth 8: MSMSMFGC

half = depth / 2 and rest = what the other spans leave. Every shared tensor has one writer, and it comes first
(arXiv 2507.06607, section 2). Mixers are looked up when `expand` is called: importing this file needs no torch.
"""

from archscale.registry import UserError
from archscale.spec import ArchSpec, LayerSpec, SpanSpec


def expand(arch: ArchSpec, depth: int) -> tuple[LayerSpec, ...]:
    """One LayerSpec per layer, from layer 0.

    Raises:
        UserError: naming the span or layer, for spans that do not fill the depth, tiles that do not divide their span,
            unknown mixers, and shared tensors that are read before or written more than once.
    """
    layers: list[LayerSpec] = []
    for number, (span, length) in enumerate(zip(arch.stack, _lengths(arch, depth), strict=True)):
        if length % len(span.tile):
            names = ", ".join(layer.mixer for layer in span.tile)
            raise UserError(
                f"arch {arch.name} at depth {depth}: span {number} ({_shown(span)}) has {length} layers from layer "
                f"{len(layers)} on, not a multiple of its tile of {len(span.tile)} ({names}): change depth or span"
            )
        layers += span.tile * (length // len(span.tile))
    _check_flow(arch.name, layers)
    return tuple(layers)


def diagram(layers: tuple[LayerSpec, ...]) -> str:
    """One letter per layer: M recurrent, S window, F full attention, G gated memory, C cross-attention.

    A decoder-decoder stack is shown as self-decoder, its last layer, cross-decoder: MSMSM F GC.
    """
    from archscale.model.mixers import MIXERS

    letters = "".join(MIXERS[layer.mixer].letter for layer in layers)
    looking_back = [index for index, layer in enumerate(layers) if MIXERS[layer.mixer].looks_back]
    boundary = looking_back[-1] if looking_back else 0
    if boundary == len(layers) - 1:
        return letters
    return " ".join(part for part in (letters[:boundary], letters[boundary], letters[boundary + 1 :]) if part)


def _lengths(arch: ArchSpec, depth: int) -> list[int]:
    where = f"arch {arch.name} at depth {depth}"
    if sum(span.span == "rest" for span in arch.stack) > 1:
        raise UserError(f"{where}: more than one span is 'rest': give all but one a number of layers or 'half'")
    if depth % 2 and any(span.span == "half" for span in arch.stack):
        raise UserError(f"{where}: an odd depth has no half: use a depth divisible by 4")
    known = {"half": depth // 2, "rest": 0}
    taken = sum(known[span.span] if isinstance(span.span, str) else span.span for span in arch.stack)
    known["rest"] = depth - taken
    has_rest = any(span.span == "rest" for span in arch.stack)
    if taken > depth or (taken < depth and not has_rest) or (taken == depth and has_rest):
        raise UserError(
            f"{where}: the spans {', '.join(_shown(span) for span in arch.stack)} take {taken} layers without 'rest': "
            f"make them fill {depth} layers, with at least one left for 'rest' where there is one"
        )
    return [known[span.span] if isinstance(span.span, str) else span.span for span in arch.stack]


def _shown(span: SpanSpec) -> str:
    return f"span: {span.span}"


def _check_flow(name: str, layers: list[LayerSpec]) -> None:
    from archscale.model.block import MLP_WRITES
    from archscale.model.mixers import MIXERS

    writer: dict[str, int] = {}
    for index, layer in enumerate(layers):
        where = f"arch {name}, layer {index} ({layer.mixer})"
        try:
            mixer = MIXERS[layer.mixer]
        except UserError as error:
            raise UserError(f"arch {name}, layer {index}: {error}") from None
        for tensor in sorted(mixer.reads - set(writer)):
            able = ", ".join(sorted(other for other, kind in MIXERS.items() if tensor in kind.writes))
            raise UserError(
                f"{where} reads {tensor!r}, which no earlier layer writes: add 'write: {tensor}' to an earlier {able}"
            )
        for key, names, possible in (("write", layer.write, mixer.writes), ("mlp_write", layer.mlp_write, MLP_WRITES)):
            for tensor in names:
                if tensor not in possible:
                    able = ", ".join(sorted(possible)) or "nothing"
                    raise UserError(f"{where} cannot write {tensor!r}: it can write {able}, remove it from {key!r}")
                if tensor in writer:
                    raise UserError(
                        f"{where} writes {tensor!r} again, after layer {writer[tensor]}: give it a span of its own, so "
                        "that one layer writes it"
                    )
                writer[tensor] = index
