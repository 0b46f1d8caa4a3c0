"""What a fit minimises: the sum over points of ρ(residual), on the loss itself or on its logarithm.

    ls        Σ r²                          lad       Σ |r|
    huber:δ   Σ ½r² inside |r| ≤ δ, δ·(|r| − ½δ) outside      Huber 1964 (Ann. Math. Statist. 35, 73)
    r = y − f                               with -log:  r = ln y − ln f

Always the sum: with the mean, the default tolerances of common optimisers stop at the starting point (Besiroglu et al.
2024, arXiv 2404.10102, on Hoffmann et al. 2022).
"""

import math
from dataclasses import dataclass

import numpy as np

from archscale.registry import UserError

CHOICES = ("ls", "log-ls", "huber:δ", "huber-log:δ", "lad", "lad-log")


@dataclass(frozen=True, kw_only=True)
class Loss:
    """`kind` is ls, huber or lad; `logarithmic` says what the residual is taken of; `delta` is in its unit."""

    kind: str = "ls"
    logarithmic: bool = False
    delta: float = math.inf

    @classmethod
    def parse(cls, text: "str | Loss") -> "Loss":
        """From the form of CHOICES.

        Raises:
            UserError: for another form, or a δ that is not a positive number.
        """
        if isinstance(text, Loss):
            return text
        name, _, number = text.strip().lower().partition(":")
        kinds = {
            "ls": ("ls", False),
            "log-ls": ("ls", True),
            "ls-log": ("ls", True),
            "huber": ("huber", False),
            "huber-log": ("huber", True),
            "log-huber": ("huber", True),
            "lad": ("lad", False),
            "lad-log": ("lad", True),
            "log-lad": ("lad", True),
        }
        if name not in kinds:
            raise UserError(f"loss = {text!r}: choose one of {', '.join(CHOICES)}, e.g. huber-log:1e-3")
        kind, logarithmic = kinds[name]
        if kind != "huber":
            if number:
                raise UserError(f"loss = {text!r}: only huber and huber-log take a δ; write {name}")
            return cls(kind=kind, logarithmic=logarithmic)
        try:
            delta = float(number)
        except ValueError:
            delta = math.nan
        if not (math.isfinite(delta) and delta > 0):
            raise UserError(
                f"loss = {text!r}: δ must be a positive number in the unit of the residual, e.g. {name}:1e-3"
            )
        return cls(kind=kind, logarithmic=logarithmic, delta=delta)

    @property
    def name(self) -> str:
        base = {"ls": "ls", "huber": "huber", "lad": "lad"}[self.kind]
        if self.kind == "ls":
            return "log-ls" if self.logarithmic else "ls"
        return base + ("-log" if self.logarithmic else "") + (f":{self.delta:g}" if self.kind == "huber" else "")

    @property
    def is_plain(self) -> bool:
        """Least squares on the loss itself, which variable projection solves."""
        return self.kind == "ls" and not self.logarithmic

    def residual(self, y_N: np.ndarray, f_N: np.ndarray) -> np.ndarray:
        """Infinite where the logarithm of f does not exist."""
        if not self.logarithmic:
            return np.asarray(y_N - f_N)
        positive = f_N > 0
        return np.where(positive, np.log(y_N) - np.log(np.where(positive, f_N, 1.0)), np.inf)

    def rho(self, r_N: np.ndarray) -> np.ndarray:
        if self.kind == "ls":
            return np.square(r_N)
        size = np.abs(r_N)
        if self.kind == "lad":
            return size
        return np.where(
            size <= self.delta, 0.5 * np.square(np.minimum(size, self.delta)), self.delta * (size - 0.5 * self.delta)
        )

    def slope(self, r_N: np.ndarray) -> np.ndarray:
        """ρ′."""
        if self.kind == "ls":
            return 2 * r_N
        return np.sign(r_N) if self.kind == "lad" else np.clip(r_N, -self.delta, self.delta)

    def majorant(self, r_N: np.ndarray) -> np.ndarray:
        """ρ′/r, the curvature of the parabola that touches ρ at r and lies above it."""
        if self.kind == "ls":
            return np.full_like(r_N, 2.0)
        size = np.maximum(np.abs(r_N), np.finfo(float).tiny)
        return 1 / size if self.kind == "lad" else np.minimum(1.0, self.delta / size)

    def curvature(self, r_N: np.ndarray) -> np.ndarray:
        """ρ″, which is 0 outside δ."""
        if self.kind == "ls":
            return np.full_like(r_N, 2.0)
        return np.zeros_like(r_N) if self.kind == "lad" else (np.abs(r_N) <= self.delta).astype(float)

    def total(self, y_N: np.ndarray, f_N: np.ndarray, weights_N: np.ndarray | None = None) -> np.ndarray:
        """Σ w·ρ(r) over the last axis."""
        rho = self.rho(self.residual(y_N, f_N))
        if weights_N is not None:
            # A point that does not count may have no logarithm.
            rho = weights_N * np.where(weights_N == 0, 0.0, rho)
        return np.asarray(rho.sum(-1))
