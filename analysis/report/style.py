"""One colour, marker and name per group, the same in every figure of a report, static or interactive.

Colours are those of Okabe and Ito, "Color Universal Design" (2008), which readers with any common colour vision tell
apart; black and yellow are left out because each vanishes on one of the two backgrounds. The marker repeats what the
colour says.
"""

from collections.abc import Iterable
from dataclasses import dataclass

_COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
_RAMP = ((0xE6, 0x9F, 0x00), (0xD5, 0x5E, 0x00), (0xA8, 0x4A, 0x86), (0x00, 0x72, 0xB2))
_MARKERS = (
    ("o", "circle"),
    ("s", "square"),
    ("^", "triangle-up"),
    ("D", "diamond"),
    ("v", "triangle-down"),
    ("P", "cross"),
    ("X", "x"),
)


@dataclass(frozen=True, kw_only=True)
class Style:
    """`marker` in matplotlib's alphabet, `symbol` in plotly's."""

    color: str
    marker: str
    symbol: str

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
        )
        for i, group in enumerate(sorted(set(groups)))
    }
