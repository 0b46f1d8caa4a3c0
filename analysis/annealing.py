"""What the law of learning-rate annealing is fitted to: two areas of any schedule, at every step.

    L(s) = L0 + A·S1(s)^-α − C·S2(s)
    S1(s) = Σ_{i=1..s} η_i                                      how far training has come
    S2(s) = Σ_{i=1..s} m_i,   m_i = λ·m_{i−1} + (η_{i−1} − η_i),   m_1 = 0      how much was annealed, with delay

Tissue et al. 2024 (arXiv 2408.11029), equation 1, with λ = 0.999. A rate that rises again is negative annealing. The
rise of the warm-up is not: with `warmup_steps` W the first fall that counts is from step W to W + 1.
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from scipy import signal

from archscale.registry import UserError, unknown

DECAY = 0.999


def areas(rates: np.ndarray, *, decay: float = DECAY, warmup_steps: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """S1 and S2 after each step of schedules.

    Args:
        rates: η, (..., steps), finite and not negative; one schedule or many of one length.
        decay: λ in [0, 1); 1 − λ is one over the delay in steps.
        warmup_steps: W of the module docstring.

    Returns:
        Two arrays of the shape of `rates`, in its unit times steps.

    Raises:
        UserError: for a rate that is negative or not finite, an empty schedule, or a λ outside [0, 1).
    """
    rates = np.asarray(rates, dtype=float)
    if not 0 <= decay < 1:
        raise UserError(f"decay = {decay}: λ of the annealing law lies in 0 … 1; 0.999 is that of the paper")
    if not rates.size:
        raise UserError("a schedule without steps has no areas: give one learning rate for each step")
    bad = ~(np.isfinite(rates) & (rates >= 0))
    if bad.any():
        raise UserError(
            f"a schedule has the learning rate {rates[bad][0]:g} in {int(bad.sum())} of {rates.size} steps: every one "
            "must be finite and not negative"
        )
    falls = -np.diff(rates, axis=-1, prepend=rates[..., :1])
    falls[..., :warmup_steps] = 0.0
    momentum = signal.lfilter([1.0], [1.0, -decay], falls, axis=-1)
    return np.cumsum(rates, axis=-1), np.cumsum(momentum, axis=-1)


def annealing_inputs(
    table: pd.DataFrame,
    schedules: Mapping[str, np.ndarray],
    *,
    schedule: str,
    step: str,
    decay: float = DECAY,
    warmup_steps: int = 0,
) -> pd.DataFrame:
    """The table with columns S1 and S2 at the step of each row, counted from 1; other columns stay as they are.

    Args:
        schedules: by the value of column `schedule`, the learning rate of every step, (steps,).

    Raises:
        UserError: for an unknown column or schedule, a step that its schedule does not have, or as `areas`.
    """
    for column in (schedule, step):
        if column not in table.columns:
            raise unknown("column", column, [str(name) for name in table.columns])
    found = table.assign(S1=np.nan, S2=np.nan)
    for name, rows in table.groupby(schedule, sort=False):
        if name not in schedules:
            raise unknown("schedule", str(name), schedules)
        steps = rows[step].to_numpy()
        length = len(schedules[str(name)])
        outside = (steps < 1) | (steps > length) | (steps != np.round(steps))
        if outside.any():
            raise UserError(
                f"schedule {name!r} has steps 1 to {length}, and a row is at step {steps[outside][0]:g}: count steps "
                "from 1, or give the whole schedule"
            )
        both = areas(schedules[str(name)], decay=decay, warmup_steps=warmup_steps)
        place = steps.astype(int) - 1
        for column, values in zip(("S1", "S2"), both, strict=True):
            found.loc[rows.index, column] = values[place]
    return found
