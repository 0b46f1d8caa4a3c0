"""One colour, marker and name per group, the same in every figure of a report, static or interactive.

Colours are those of Okabe and Ito, "Color Universal Design" (2008), which readers with any common colour vision tell
apart; black and yellow are left out because each vanishes on one of the two backgrounds, and orange and sky blue are
darkened until they too have a contrast of 3 against both. Marker and dashes repeat what the colour says.
"""

from collections.abc import Iterable
from dataclasses import dataclass

_COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#C28500", "#3B95CF")
_RAMP = ((0xC2, 0x85, 0x00), (0xD5, 0x5E, 0x00), (0xA8, 0x4A, 0x86), (0x00, 0x72, 0xB2))
_MARKERS = (
    ("o", "circle"),
    ("s", "square"),
    ("^", "triangle-up"),
    ("D", "diamond"),
    ("v", "triangle-down"),
    ("P", "cross"),
    ("X", "x"),
)
# Where a curve is dashed: in plotly's names, and in matplotlib's points of line and gap.
_DASHES: tuple[tuple[str, tuple[float, ...]], ...] = (
    ("dash", (3, 2)),
    ("dot", (1, 1.4)),
    ("dashdot", (4, 1.6, 1, 1.6)),
    ("longdash", (6, 2)),
    ("longdashdot", (7, 1.6, 1, 1.6)),
)


@dataclass(frozen=True, kw_only=True)
class Style:
    """`marker` in matplotlib's alphabet, `symbol` in plotly's; `dash` and `dashes` likewise."""

    color: str
    marker: str
    symbol: str
    dash: str = _DASHES[0][0]
    dashes: tuple[int, tuple[float, ...]] = (0, _DASHES[0][1])

    def rgba(self, opacity: float) -> str:
        """For plotly's fill colours."""
        red, green, blue = (int(self.color[i : i + 2], 16) for i in (1, 3, 5))
        return f"rgba({red},{green},{blue},{opacity:g})"


def ramp(values: Iterable[float]) -> dict[float, Style]:
    """By value, ascending: one hue after another from orange to blue, for what has an order, such as widths."""
    ordered = sorted(set(values))
    return {
        value: Style(
            color=_between(i / max(len(ordered) - 1, 1)),
            marker=_MARKERS[i % len(_MARKERS)][0],
            symbol=_MARKERS[i % len(_MARKERS)][1],
        )
        for i, value in enumerate(ordered)
    }


def curve_opacity(curves: int) -> float:
    """Of the lines of one group: fainter where many lie over one another."""
    return max(0.25, 0.6 * min(1.0, (20 / max(curves, 1)) ** 0.5))


def marker_share(points: int) -> float:
    """By which markers shrink, as a share of their size, where a group has many of them."""
    return max(0.5, min(1.0, (30 / max(points, 1)) ** 0.5))


def _between(place: float) -> str:
    """The colour at `place` in 0 … 1 of the ramp, in straight lines between its stops."""
    step = min(int(place * (len(_RAMP) - 1)), len(_RAMP) - 2)
    share = place * (len(_RAMP) - 1) - step
    pairs = zip(_RAMP[step], _RAMP[step + 1], strict=True)
    return "#" + "".join(f"{round(low + share * (high - low)):02X}" for low, high in pairs)


def styles(groups: Iterable[str]) -> dict[str, Style]:
    """By name, in the order of names; six colours and seven markers give 42 pairs before one comes back."""
    return {
        group: Style(
            color=_COLORS[i % len(_COLORS)],
            marker=_MARKERS[i % len(_MARKERS)][0],
            symbol=_MARKERS[i % len(_MARKERS)][1],
            dash=_DASHES[i % len(_DASHES)][0],
            dashes=(0, _DASHES[i % len(_DASHES)][1]),
        )
        for i, group in enumerate(sorted(set(groups)))
    }
