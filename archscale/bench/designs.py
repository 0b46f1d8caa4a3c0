"""The stated designs whose intervals are tried on made-up data.

    y = f(x; truth) + noise        quiet, noisy, steep, bound: A·x^-b + C;  grid: A·N^-alpha + B·D^-beta + E;
                                   outliers: A·x^-b + C by Huber's loss

Five and six points are what most published curves have; C of `bound` lies 1.4 standard
errors above its bound at 0, which an eighth of the fits end on.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from analysis.laws import LAWS
from archscale.registry import unknown


@dataclass(frozen=True, kw_only=True)
class Design:
    """`noise` is the standard deviation of each point in nats; a share `outliers` of points has ten times as much.

    `x` is (n,) or (n, I), ascending; the prediction is at four times the largest inputs. `asked` names the exponent and
    the irreducible loss.
    """

    name: str
    law: str
    x: np.ndarray
    truth: Mapping[str, float]
    noise: float
    asked: tuple[str, str] = ("b", "C")
    loss: str = "ls"
    outliers: float = 0.0

    @property
    def quantities(self) -> tuple[str, ...]:
        return (*self.asked, "4×")

    @property
    def said(self) -> str:
        """In one line."""
        law = LAWS[self.law]
        values = " ".join(f"{p.name} {self.truth[p.name]:g}" for p in law.parameters)
        odd = f" ({100 * self.outliers:g} % of points 10 ×)" if self.outliers else ""
        return f"{self.name}: {law.equation}, {len(self.x)} points, {values}, noise {self.noise:g}{odd}, {self.loss}"

    def heights(self, x: np.ndarray) -> np.ndarray:
        """f(x; truth), (n,)."""
        law = LAWS[self.law]
        columns = x.T if x.ndim == 2 else x[None]
        theta = [np.full(len(x), self.truth[p.name]) for p in law.nonlinear]
        return np.asarray(law.design(*columns, *theta) @ np.array([self.truth[p.name] for p in law.linear]))

    def simulate(self, count: int, *, seed: int = 0) -> np.ndarray:
        """(count, n); the first rows are the same whatever the count."""
        mean, rows = self.heights(self.x), []
        for number in range(count):
            generator = np.random.default_rng([seed, number])
            size = np.where(generator.random(len(mean)) < self.outliers, 10 * self.noise, self.noise)
            rows.append(mean + size * generator.standard_normal(len(mean)))
        return np.stack(rows)


def find_design(name: str) -> Design:
    """Raises: UserError for a name that is not in DESIGNS."""
    if name not in DESIGNS:
        raise unknown("design", name, DESIGNS)
    return DESIGNS[name]


def _grid(sizes: np.ndarray, tokens: np.ndarray) -> np.ndarray:
    return np.array([(size, seen) for size in sizes for seen in tokens])


_SIX = np.geomspace(1.0, 64.0, 6)
_FALL = {"A": 2.0, "b": 0.3, "C": 1.5}
_JOINT = {"A": 2.0, "B": 1.0, "E": 1.8, "alpha": 0.35, "beta": 0.4}
DESIGNS = {
    design.name: design
    for design in (
        Design(name="quiet", law="power_offset", x=_SIX, truth=_FALL, noise=0.001),
        Design(name="noisy", law="power_offset", x=_SIX, truth=_FALL, noise=0.01),
        Design(name="steep", law="power_offset", x=_SIX[:5], truth={"A": 1.0, "b": 0.9, "C": 2.0}, noise=0.01),
        Design(name="bound", law="power_offset", x=_SIX, truth={"A": 2.0, "b": 0.15, "C": 0.3}, noise=0.01),
        Design(
            name="grid",
            law="chinchilla",
            x=_grid(np.geomspace(0.1, 2.7, 4), np.geomspace(2, 54, 4)),
            truth=_JOINT,
            noise=0.01,
            asked=("alpha", "E"),
        ),
        Design(
            name="outliers",
            law="power_offset",
            x=np.geomspace(1.0, 64.0, 16),
            truth=_FALL,
            noise=0.01,
            loss="huber:0.0134",
            outliers=0.1,
        ),
    )
}
