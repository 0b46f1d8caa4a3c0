"""The data that fitting tools are compared on: published points, and made-up ones whose law is known.

    L = A·N^-alpha + B·D^-beta + E        L = A·x^-b + C

Published points are read from the folder that ARCHSCALE_PUBLISHED_DATA names; its files state their sources. What the
publications print is `reference`, and for made-up points the law that they were drawn from.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from analysis.laws import LAWS, Law
from analysis.solve.losses import Loss
from analysis.sources import PUBLISHED_DATA
from archscale.registry import UserError, unknown

CHINCHILLA, OFFSET = "chinchilla", "power_offset"
_NOISE = 5e-4


@dataclass(frozen=True, kw_only=True, eq=False)
class Case:
    """Points x (n,) or (n, 2) for N and D, their losses y (n,), and what a fit of `law` is to minimise."""

    name: str
    title: str
    law_name: str
    loss: str
    x: np.ndarray
    y: np.ndarray
    reference: dict[str, float] = field(default_factory=dict)

    @property
    def law(self) -> Law:
        return LAWS[self.law_name]

    @property
    def offset(self) -> str:
        """The name of the irreducible loss."""
        return "E" if self.law_name == CHINCHILLA else "C"

    def predict(self, parameters: dict[str, float]) -> np.ndarray:
        """The loss at every point, in powers of the inputs as they are; nothing here is shared with any tool."""
        p = parameters
        if self.law_name == CHINCHILLA:
            N, D = self.x.T
            return np.asarray(p["E"] + p["A"] * N ** -p["alpha"] + p["B"] * D ** -p["beta"])
        return np.asarray(p["C"] + p["A"] * self.x ** -p["b"])

    def objective(self, parameters: dict[str, float]) -> float:
        """The sum over points of this case's loss; the same function judges every tool."""
        return float(Loss.parse(self.loss).total(self.y, self.predict(parameters)))


def cases(data: Path | None = None, only: list[str] | None = None) -> tuple[list[Case], list[str]]:
    """The cases that `only` names, all without it, and one line for each whose points are absent.

    Raises:
        UserError: for a name that no case has, or a folder that does not exist.
    """
    folder = data or (Path(os.environ[PUBLISHED_DATA]) if os.environ.get(PUBLISHED_DATA) else None)
    if folder is not None and not folder.is_dir():
        raise UserError(f"published data: {folder} is no folder; name the one that holds besiroglu2024/ with --data")
    for name in only or ():
        if name not in _MAKERS:
            raise unknown("case", name, _MAKERS)
    found, absent = [], []
    for name in only or _MAKERS:
        file, make = _MAKERS[name]
        if not file:
            found.append(make(pd.DataFrame()))
        elif folder is not None and (folder / file).is_file():
            found.append(make(pd.read_csv(folder / file)))
        else:
            absent.append(f"{name}: no {file}; name the folder that holds it with --data or {PUBLISHED_DATA}")
    return found, absent


def _besiroglu(table: pd.DataFrame, *, below_flops: float = np.inf) -> tuple[np.ndarray, np.ndarray]:
    """Without the five highest losses, as the publication has it."""
    y, N, flops = (table[name].to_numpy(float) for name in ("loss", "Model Size", "Training FLOP"))
    kept = (y < np.sort(y)[-5]) & (flops < below_flops)
    return np.column_stack([N, flops / (6 * N)])[kept], y[kept]


def _besiroglu_240(table: pd.DataFrame) -> Case:
    x, y = _besiroglu(table)
    return Case(
        name="besiroglu_240",
        title="Hoffmann et al. 2022 as digitised by Besiroglu et al. 2024",
        law_name=CHINCHILLA,
        loss="huber-log:1e-3",
        x=x,
        y=y,
        reference={"A": 482.01, "B": 2085.43, "E": 1.8172, "alpha": 0.3478, "beta": 0.3658},
    )


def _besiroglu_217(table: pd.DataFrame) -> Case:
    x, y = _besiroglu(table, below_flops=1e21)
    reference = {"A": 4.0005 * 1e6**0.3511, "B": 1.0509 * 1e9**0.4587, "E": 1.9051, "alpha": 0.3511, "beta": 0.4587}
    title = "the same below 1e21 FLOPs, published by Apple ml-scalefit"
    return Case(name="besiroglu_217", title=title, law_name=CHINCHILLA, loss="ls", x=x, y=y, reference=reference)


def _llama(table: pd.DataFrame) -> Case:
    rows = table[table.experiment == "llama_3__raw_loss"]
    return Case(
        name="llama_3",
        title="Llama 3 isoFLOP curves as digitised by Czech et al. 2026",
        law_name=CHINCHILLA,
        loss="ls",
        x=rows[["params", "tokens"]].to_numpy(float),
        y=rows.loss.to_numpy(float),
        reference={"alpha": 0.3100, "beta": 0.3136, "E": 0.6047},
    )


def _olmo(table: pd.DataFrame) -> Case:
    rows = table[table["mode"] == "train"]
    return Case(
        name="olmo_c4",
        title="OLMo ladder 2024, C4 loss",
        law_name=CHINCHILLA,
        loss="huber-log:1e-3",
        x=rows[["N", "D"]].to_numpy(float),
        y=rows["c4_en-validation_mean_last5"].to_numpy(float),
        reference={"E": 0.934},
    )


def _sambay(series: str, name: str, title: str, **reference: float) -> Callable[[pd.DataFrame], Case]:
    def make(table: pd.DataFrame) -> Case:
        rows = table[table.series == series]
        x, y = rows.x.to_numpy(float), rows.loss.to_numpy(float)
        return Case(name=name, title=title, law_name=OFFSET, loss="ls", x=x, y=y, reference=reference)

    return make


def _six_points(_: pd.DataFrame) -> Case:
    truth = {"A": 60.0, "b": 0.1, "C": 1.2}
    x = np.geomspace(1e18, 1e21, 6)
    y = truth["C"] + truth["A"] * x ** -truth["b"] + _NOISE * np.random.default_rng(0).standard_normal(6)
    title = "made up, noise 0.0005"
    return Case(name="six_points", title=title, law_name=OFFSET, loss="ls", x=x, y=y, reference=truth)


def _fixed_ratio(_: pd.DataFrame) -> Case:
    truth = {"A": 480.0, "B": 2100.0, "E": 1.8, "alpha": 0.35, "beta": 0.37}
    N = np.geomspace(5e7, 5e9, 8)
    D = 20 * N
    y = truth["E"] + truth["A"] * N ** -truth["alpha"] + truth["B"] * D ** -truth["beta"]
    return Case(
        name="fixed_ratio",
        title="made up, 20 tokens a parameter throughout: L(N, D) is not identified",
        law_name=CHINCHILLA,
        loss="ls",
        x=np.column_stack([N, D]),
        y=y + _NOISE * np.random.default_rng(0).standard_normal(8),
        reference=truth,
    )


# A file below the folder of published data ("" for made-up points), and what makes a case of its rows.
_POINTS = "archscale_sambay/points.csv"
_SAMBAY = _sambay("flops/SambaY muP++", "sambay_flops", "SambaY, loss against FLOPs")
_YOCO = _sambay("flops/Samba+YOCO muP++", "yoco_flops", "Samba+YOCO, loss against FLOPs")
_MUP = _sambay("tie/muP", "mup_tokens", "μP, loss against tokens; one run diverged", A=17.92, b=1.10, C=1.96)
_MAKERS: dict[str, tuple[str, Callable[[pd.DataFrame], Case]]] = {
    "besiroglu_240": ("besiroglu2024/svg_extracted_data.csv", _besiroglu_240),
    "besiroglu_217": ("besiroglu2024/svg_extracted_data.csv", _besiroglu_217),
    "llama_3": ("isoflop_openathena2026/isoflops.csv", _llama),
    "olmo_c4": ("olmo_ladder2024/ladder_step1.csv", _olmo),
    "sambay_flops": (_POINTS, _SAMBAY),
    "yoco_flops": (_POINTS, _YOCO),
    "mup_tokens": (_POINTS, _MUP),
    "six_points": ("", _six_points),
    "fixed_ratio": ("", _fixed_ratio),
}
