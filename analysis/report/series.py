"""The numbers behind every figure, drawn twice: by plots.py for print, by interactive.py for the page."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pandas as pd
from scipy import stats
from scipy.interpolate import CubicSpline

from analysis.fit import Fit
from analysis.report.evidence import Evidence
from analysis.report.gathered import Gathered

# How far beyond the largest run the curves are drawn; everything there is marked as extrapolation.
EXTRAPOLATION = 10.0
_CURVE_POINTS = 97
# A band is computed at each third point of its curve: what lies between differs by less than 1e-5 of the loss.
_BAND_STRIDE = 3
_ROWS_PER_RUN, _ROWS = 300, 30_000


@dataclass(frozen=True, kw_only=True)
class FitCurve:
    """A fit and its band on a grid of x; the band is cut where it leaves the axis, and None without an interval."""

    x: np.ndarray
    y: np.ndarray
    low: np.ndarray | None
    high: np.ndarray | None


@dataclass(frozen=True, kw_only=True)
class LossSeries:
    """Points and fits against x. `x_end` is the largest measured x; `entropy` is None where it is off the axis."""

    points: dict[str, pd.DataFrame]
    curves: dict[str, FitCurve]
    x_limits: tuple[float, float]
    y_limits: tuple[float, float]
    x_end: float
    entropy: float | None
    cut: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class ProfileSeries:
    """Rise of the sum of squares over its minimum, in units of the residual variance, with one parameter held fixed."""

    parameter: str
    values: np.ndarray
    rise: np.ndarray
    threshold: float

    @property
    def ends(self) -> tuple[float, float] | None:
        """Where the curve crosses the threshold, between its points; None where it does not on both sides."""
        above = self.rise > self.threshold
        lowest = int(np.argmin(self.rise))
        left, right = np.flatnonzero(above[:lowest]), np.flatnonzero(above[lowest:])
        if not (left.size and right.size):
            return None
        low, high = int(left[-1]), lowest + int(right[0])
        return self._crossing(low, low + 1), self._crossing(high, high - 1)

    def _crossing(self, outside: int, inside: int) -> float:
        share = (self.threshold - self.rise[inside]) / (self.rise[outside] - self.rise[inside])
        return float(self.values[inside] + share * (self.values[outside] - self.values[inside]))


@dataclass(frozen=True, kw_only=True)
class ProfileAxis:
    """`outside` are the groups whose interval does not lie inside the limits."""

    limits: tuple[float, float]
    outside: tuple[str, ...]


@lru_cache(maxsize=1)  # a band costs more than a drawing, and a caption, a page and a figure ask for the same one
def loss_series(evidence: Evidence) -> LossSeries:
    settings = evidence.settings
    points = {str(name): part for name, part in evidence.points.groupby("label", sort=True)}
    x, y = evidence.points[settings.x], evidence.points[settings.y]
    x_limits = (float(x.min()) / 1.6, float(x.max()) * (EXTRAPOLATION if evidence.fits else 1.6))
    grid = np.geomspace(*x_limits, _CURVE_POINTS)
    predictions = {name: fit.predict(grid) for name, fit in evidence.fits.items()}
    shown = np.concatenate([y.to_numpy(), *predictions.values()])
    entropy = evidence.unigram_entropy
    fits_on_axis = entropy is not None and shown.min() < entropy < 1.2 * shown.max()
    top = max(shown.max(), entropy) if fits_on_axis and entropy is not None else shown.max()
    # At least two percent: a single run, or equal losses, would leave an axis without length.
    pad = max(1.02, (top / shown.min()) ** 0.05)
    y_limits = (float(shown.min() / pad), float(top * pad))
    curves, cut = {}, []
    for name, fit in evidence.fits.items():
        curves[name], is_cut = _curve(fit, grid, predictions[name], y_limits)
        if is_cut:
            cut.append(name)
    return LossSeries(
        points=points,
        curves=curves,
        x_limits=x_limits,
        y_limits=y_limits,
        x_end=float(x.max()),
        entropy=entropy if fits_on_axis else None,
        cut=tuple(cut),
    )


def residuals(evidence: Evidence) -> dict[str, pd.DataFrame]:
    """Per fit, its points with a column `residual`: measured − fitted, in nats per token."""
    found = {}
    for name, fit in evidence.fits.items():
        part = evidence.points[evidence.points["label"] == name]
        inputs = list(evidence.settings.inputs) or evidence.settings.x
        x, y = part[inputs].to_numpy(dtype=float), part[evidence.settings.y].to_numpy(dtype=float)
        fitted = fit.predict(x)
        found[name] = part.assign(fitted=fitted, residual=y - fitted)
    return found


def main_parameter(evidence: Evidence) -> str:
    """The irreducible loss C, or the law's last parameter."""
    names = [parameter.name for parameter in evidence.law.parameters]
    return "C" if "C" in names else names[-1]


def other_parameters(evidence: Evidence) -> list[str]:
    """Those beside the main one that the points of some group identify."""
    return [
        parameter.name
        for parameter in evidence.law.parameters
        if parameter.name != main_parameter(evidence)
        and any(fit.verdicts[parameter.name] == "identified" for fit in evidence.fits.values())
    ]


@lru_cache(maxsize=8)
def profiles(evidence: Evidence, parameter: str = "") -> dict[str, ProfileSeries]:
    """Of one parameter, the main one if none is named; nothing for a fit without a degree of freedom."""
    found = {}
    for name, fit in evidence.fits.items():
        if fit.degrees_of_freedom < 1 or not fit.sum_of_squares > 0:
            continue
        parameter = parameter or main_parameter(evidence)
        values, sum_of_squares = fit.profile(parameter, points=61)
        variance = fit.sum_of_squares / fit.degrees_of_freedom
        found[name] = ProfileSeries(
            parameter=parameter,
            values=np.asarray(values, dtype=float),
            rise=(np.asarray(sum_of_squares, dtype=float) - fit.sum_of_squares) / variance,
            threshold=float(stats.f.ppf(evidence.settings.level, 1, fit.degrees_of_freedom)),
        )
    return found


def profile_limits(parts: Mapping[str, ProfileSeries]) -> ProfileAxis:
    """An axis for the curves of one parameter that one far wider than the usual does not squeeze the others on.

    A group counts as usual up to three times the median half width; the axis holds one and a half half widths about
    its middle. Half widths of positive values over decades are those of their logarithms.
    """
    if not parts:
        return ProfileAxis(limits=(0.0, 1.0), outside=())
    into, back = (np.log, np.exp) if spans_decades(parts.values()) else (np.asarray, np.asarray)
    spans = {name: into(np.array(part.ends)) for name, part in parts.items() if part.ends is not None}
    if not spans:
        values = np.concatenate([part.values for part in parts.values()])
        return ProfileAxis(limits=(float(values.min()), float(values.max())), outside=())
    half = {name: float(np.diff(ends)[0]) / 2 for name, ends in spans.items()}
    usual = [name for name in spans if half[name] <= 3 * float(np.median(list(half.values())))]
    low = min(float(spans[name].mean()) - 1.5 * half[name] for name in usual)
    high = max(float(spans[name].mean()) + 1.5 * half[name] for name in usual)
    inside = {name for name, (first, last) in spans.items() if low <= first and last <= high}
    ends = float(back(low)), float(back(high))
    return ProfileAxis(limits=ends, outside=tuple(name for name in parts if name not in inside))


def spans_decades(profiles: Iterable[ProfileSeries]) -> bool:
    """An amplitude's interval may; on a linear axis all but its upper end would be a point."""
    parts = list(profiles)
    low, high = min(part.values.min() for part in parts), max(part.values.max() for part in parts)
    return bool(low > 0 and high / low > 30)


@lru_cache(maxsize=1)
def training_curves(evidence: Gathered) -> dict[str, pd.DataFrame]:
    """Run id → tokens, train_loss and validation_loss, averaged down to 300 rows a run and 30,000 in all."""
    most = max(20, min(_ROWS_PER_RUN, _ROWS // max(len(evidence.table.runs), 1)))
    rows = evidence.table.curves.dropna(subset=["tokens"])
    place, count = (rows.groupby("run_id")["tokens"].transform(how) for how in ("cumcount", "size"))
    block = (place // np.ceil(count / most)).rename("block")
    thinned = rows.groupby(["run_id", block], sort=True).agg(
        {"tokens": "last", "train_loss": "mean", "validation_loss": "last"}
    )
    return {
        str(run_id): part.reset_index(drop=True)
        for run_id, part in thinned.reset_index("block", drop=True).groupby("run_id", sort=True)
    }


def log_ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Round values on a logarithmic axis: powers of ten, 1-2-5 steps, or even steps where the axis spans less.

    matplotlib and plotly label powers of ten well and little else; losses span less than one.
    """
    if high / low < 4:
        return _even_ticks(low, high, most)
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    for mantissas in ((1, 2, 5), (1, 3), (1,)):
        ticks = [m * 10.0**k for k in range(first, last + 1) for m in mantissas if low <= m * 10.0**k <= high]
        if len(ticks) <= most:
            return ticks
    return ticks[:: math.ceil(len(ticks) / most)]


def tick_text(value: float, ticks: list[float]) -> str:
    """With the decimals that the finest of `ticks` needs, so that 2 among 2.25 and 2.5 reads 2.00."""
    decimals = max(len(f"{tick:g}".partition(".")[2]) for tick in ticks)
    return f"{value:.{decimals}f}"


def _even_ticks(low: float, high: float, most: int) -> list[float]:
    raw = (high - low) / most
    magnitude = 10 ** math.floor(math.log10(raw))
    step = next(m * magnitude for m in (1, 2, 2.5, 5, 10) if m * magnitude >= raw)
    return [round(k * step, 12) for k in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)]


def _curve(fit: Fit, x: np.ndarray, y: np.ndarray, y_limits: tuple[float, float]) -> tuple[FitCurve, bool]:
    if fit.degrees_of_freedom < 1:
        return FitCurve(x=x, y=y, low=None, high=None), False
    low, high = _band(fit, x)
    is_cut = bool((low < y_limits[0]).any() or (high > y_limits[1]).any())
    return FitCurve(x=x, y=y, low=np.clip(low, *y_limits), high=np.clip(high, *y_limits)), is_cut


def _band(fit: Fit, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Lower and upper end at each x; an end that is not known is infinite."""
    nodes = x[::_BAND_STRIDE]
    low, high = (np.asarray(end, dtype=float) for end in fit.band(nodes))
    if np.isfinite([low, high]).all():
        low, high = (CubicSpline(np.log(nodes), end)(np.log(x)) for end in (low, high))
    else:
        low, high = (np.asarray(end, dtype=float) for end in fit.band(x))
    return np.where(np.isnan(low), -np.inf, low), np.where(np.isnan(high), np.inf, high)
