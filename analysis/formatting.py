"""Numbers as a reader wants them: losses to four decimals, 3.2·10¹² FLOPs, 26.1K parameters, true minus signs."""

import math
import re
from collections.abc import Iterable

from archscale.identity import short_count

_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
MISSING = "–"


def is_number(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def loss(value: float) -> str:
    """Nats per token, four decimals: two runs that differ in their seed differ in the third or fourth."""
    return minus(f"{value:.4f}") if is_number(value) else MISSING


def signed_loss(value: float) -> str:
    return minus(f"{value:+.4f}") if is_number(value) else MISSING


def small(value: float) -> str:
    """The size of a difference of losses; one that four decimals do not show is said to be small, not to be zero."""
    if is_number(value) and 0 < abs(value) < 5e-5:
        return "less than 0.0001"
    return loss(abs(value))


def residual_std(value: float) -> str:
    """Nats per token, five decimals: a good fit leaves less than one in a thousand."""
    return f"{value:.5f}" if is_number(value) else MISSING


def count(value: float) -> str:
    """26112 → 26.1K."""
    return short_count(value) if is_number(value) else MISSING


def scientific(value: float, digits: int = 2) -> str:
    """3.2e12 → 3.2·10¹²; `digits` significant digits."""
    if not is_number(value):
        return MISSING
    mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
    return minus(mantissa) + "·10" + str(int(exponent)).translate(_SUPERSCRIPTS)


def accounting(name: str) -> str:
    """The names of scaling/flops.py in words; any other as it is."""
    words = {"6nd_non_embedding": "6·N·T, N without embeddings", "6nd_total": "6·N·T, N with embeddings"}
    return words.get(name, name)


def general(value: float, digits: int = 3) -> str:
    """`digits` significant digits, as a power of ten outside 0.001 … 99999."""
    if not is_number(value):
        return MISSING
    if value != 0 and not 1e-3 <= abs(value) < 1e5:
        return scientific(value, digits)
    decimals = digits - 1 - (math.floor(math.log10(abs(value))) if value else 0)
    return minus(f"{value:.{max(decimals, 0)}f}")


def short(value: float) -> str:
    """Three significant digits without zeros at the end, for values that were chosen: 0.004, 64, 2.5·10⁻⁴."""
    if not is_number(value):
        return MISSING
    if value != 0 and not 1e-3 <= abs(value) < 1e5:
        mantissa, exponent = f"{value:.2e}".split("e")
        return minus(f"{float(mantissa):g}") + "·10" + str(int(exponent)).translate(_SUPERSCRIPTS)
    return minus(f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}")


def p_value(value: float) -> str:
    """Two significant digits, none below 0.001."""
    if not is_number(value):
        return MISSING
    return f"{value:#.2g}" if value >= 1e-3 else "< 0.001"


def p_text(value: float) -> str:
    """p = 0.64, p < 0.001."""
    shown = p_value(value)
    return f"p {shown}" if shown.startswith("<") else f"p = {shown}"


def estimate(value: float, low: float, high: float) -> str:
    """A value with as many decimals as its interval supports: two digits of the half width."""
    half = (high - low) / 2
    if not (is_number(half) and half > 0) or not 1e-3 <= abs(value) < 1e5:
        return general(value)
    return minus(f"{value:.{_decimals(half)}f}")


def interval(low: float, high: float) -> str:
    """[1.32, 1.45]; an end that the data do not bound is ∞."""
    ends = [end for end in (low, high) if is_number(end)]
    if ends and all(end == 0 or 1e-3 <= abs(end) < 1e5 for end in ends):
        half = (high - low) / 2
        decimals = _decimals(half) if is_number(half) and half > 0 else 3
        return f"[{', '.join(_end(end, f'{end:.{decimals}f}') for end in (low, high))}]"
    return f"[{', '.join(_end(end, general(end)) for end in (low, high))}]"


def loss_interval(low: float, high: float) -> str:
    """[1.8156, 1.8169], with the decimals of the losses beside it."""
    return f"[{', '.join(_end(end, f'{end:.4f}') for end in (low, high))}]"


def seconds(value: float) -> str:
    """42 s, 3.5 min, 2.1 h."""
    if not is_number(value):
        return MISSING
    if value < 90:
        return f"{value:.0f} s" if value >= 10 else f"{value:.1f} s"
    return f"{value / 60:.1f} min" if value < 5400 else f"{value / 3600:.1f} h"


def unit(text: str) -> str:
    """A factor in a declared unit as a power of ten: 1e9 tokens becomes 10⁹ tokens."""
    return re.sub(r"(?<![\w.])1e(\d+)(?= )", lambda found: "10" + found[1].translate(_SUPERSCRIPTS), text)


def has_factor(of_unit: str) -> bool:
    """Whether values of this unit count thousands, millions, billions: "1e9 tokens"."""
    return re.match(r"1e\d+ ", of_unit) is not None


def place(value: float, of_unit: str) -> str:
    """A value with its unit, for a sentence: 6.7·10²¹ FLOPs, 600·10⁹ tokens, 0.25."""
    if has_factor(of_unit):
        return f"{short(value)}·{unit(of_unit)}"
    text = short(value) if 1e-3 <= abs(value) < 1e4 else scientific(value)
    return f"{text} {of_unit}".strip()


def cell(value: object) -> str:
    """A value of a table that nobody declared a format for."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    if not math.isfinite(value):
        return MISSING
    return minus(f"{value:.10g}") if 1e-3 <= abs(value) < 1e5 or value == 0 else scientific(value, 4)


def minus(text: str) -> str:
    """A true minus sign, which is as wide as a digit."""
    return text.replace("-", "−")


def polished(sentence: str) -> str:
    """Numbers in a sentence made elsewhere: = 2.4e+13 becomes = 2.4·10¹³, and -0.018 gets a true minus.

    Only what follows " = ", a space or an opening bracket is touched; a name that contains such a number stays.
    """
    powers = re.sub(r"(?<= = )\d\.?\d*e[+-]\d+", lambda found: _power(found.group()), sentence)
    return re.sub(r"(?<=[ (\[])-(?=\d)", "−", powers)


def equation(text: str) -> str:
    """A·x^-b + C → A·x⁻ᵇ + C."""
    return re.sub(r"\^-b\b", "⁻ᵇ", text)


def listed(items: Iterable[str], word: str = "and") -> str:
    """a, b and c."""
    parts = list(items)
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} {word} {parts[-1]}" if parts else ""


def plural(number: int, noun: str, many: str = "") -> str:
    """1 run, 2 runs."""
    return f"{number} {noun if number == 1 else many or noun + 's'}"


def _power(text: str) -> str:
    mantissa, exponent = text.split("e")
    return f"{mantissa}·10{str(int(exponent)).translate(_SUPERSCRIPTS)}"


def _decimals(half: float) -> int:
    return min(max(1 - math.floor(math.log10(half)), 0), 6)


def _end(value: float, text: str) -> str:
    if math.isfinite(value):
        return minus(text)
    return "not known" if math.isnan(value) else "∞" if value > 0 else "−∞"
