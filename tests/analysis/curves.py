"""Synthetic curves and independent optimisers for the tests of fitting."""

from collections.abc import Callable

import numpy as np
import pandas as pd
from scipy import optimize

X = np.geomspace(1.0, 64.0, 6)
TRUTH = {"A": 2.0, "b": 0.3, "C": 1.5}


def curve(x: np.ndarray, A: float = 2.0, b: float = 0.3, C: float = 1.5) -> np.ndarray:
    return A * x**-b + C


def noisy(seed: int, *, x: np.ndarray = X, sigma: float = 0.01, **truth: float) -> np.ndarray:
    return curve(x, **truth) + sigma * np.random.default_rng(seed).standard_normal(x.size)


def two_groups(y_a: np.ndarray, y_b: np.ndarray, *, x_a: np.ndarray = X, x_b: np.ndarray = X) -> pd.DataFrame:
    names = ["a"] * len(x_a) + ["b"] * len(x_b)
    return pd.DataFrame({"compute": np.r_[x_a, x_b], "loss": np.r_[y_a, y_b], "arch": names})


def least_squares(
    residuals: Callable[[np.ndarray], np.ndarray], low: list[float], high: list[float], *, starts: int = 30
) -> optimize.OptimizeResult:
    """The best of many runs of scipy's trust-region method on the raw problem, from random starts in the box."""
    rng = np.random.default_rng(0)
    lower, upper = np.array(low), np.array(high)
    runs = [
        optimize.least_squares(
            residuals,
            lower + (upper - lower) * rng.uniform(0.02, 0.98, lower.size),
            bounds=(lower, upper),
            x_scale="jac",
            xtol=1e-15,
            ftol=1e-15,
            gtol=1e-15,
            max_nfev=2000,
        )
        for _ in range(starts)
    ]
    return min(runs, key=lambda run: run.cost)
