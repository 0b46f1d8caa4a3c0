"""Published fits of scaling laws and the points they were made of, read from a folder that is no part of the package.

archscale_sambay     A·x^-b + C, least squares            legends of arXiv 2507.06607
besiroglu2024        A·N^-alpha + B·D^-beta + E           arXiv 2404.10102, notebook cells 18 and 24; Apple ml-scalefit
isoflop_openathena   the same on isoFLOP curves           arXiv 2603.22339 and the README of vpnls
olmo_ladder2024      the same on a ladder, and what it predicts for 13B on 5T tokens       arXiv 2412.04403
openlm_gadre2024     A·N^b + B·6^(b/2)·(M·N)^b + E, and the relative error of predictions   arXiv 2403.08540
"""

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from analysis.fit import Fit
from analysis.sources import PUBLISHED_DATA
from archscale.registry import UserError

_SMALL_OPEN_LM = ("d=96_l=8_h=4", "d=512_l=8_h=4", "d=576_l=24_h=8", "d=1024_l=24_h=8")
# Σ over points as a mean in millionths, which the README of vpnls prints.
_VPNLS = {
    "ml_scalefit__massivetext__chinchilla": "13.1",
    "llama_3__raw_loss": "2.3",
    "marin_202603__comma__llama_2": "22.9",
    "marin_202603__dclm__llama_2": "22.9",
    "marin_202603__nemotron__llama_2": "22.6",
}


@dataclass(frozen=True, kw_only=True, eq=False)
class Held:
    """A point that was not fitted, and the published loss there or |predicted − actual| / actual, as printed."""

    name: str
    x: np.ndarray
    actual: float
    predicted: str = ""
    error_percent: str = ""


@dataclass(frozen=True, kw_only=True, eq=False)
class PublishedFit:
    """Points x (n,) or (n, I) and losses y (n,), what was fitted to them, and the figures that were published of it.

    `figures` are as printed and named by parameters of the law, "objective" or "mean · 1e6", the mean objective.
    """

    data: str
    name: str
    law: str
    loss: str
    x: np.ndarray
    y: np.ndarray
    figures: Mapping[str, str] = field(default_factory=dict)
    held: tuple[Held, ...] = ()

    def found(self, fit: Fit) -> Iterator[tuple[str, str, float]]:
        """Each figure's name, what was printed, and that of our fit."""
        ours = {**fit.parameters, "objective": fit.objective, "mean · 1e6": 1e6 * fit.objective / fit.n}
        for name, printed in self.figures.items():
            yield name, printed, ours[name]
        for point in self.held:
            predicted = float(fit.predict(point.x[None])[0])
            if point.predicted:
                yield point.name, point.predicted, predicted
            if point.error_percent:
                yield f"{point.name}, %", point.error_percent, 100 * abs(predicted / point.actual - 1)


def data_folder(folder: Path | None) -> Path:
    """
    Raises:
        UserError: when neither `folder` nor the environment names a folder that exists.
    """
    named = folder or (Path(os.environ[PUBLISHED_DATA]) if os.environ.get(PUBLISHED_DATA) else None)
    if named is None or not named.is_dir():
        raise UserError(
            f"published data: {named or 'no folder given'}; name the one that holds besiroglu2024/ with --data or "
            f"{PUBLISHED_DATA}"
        )
    return named


def published_fits(folder: Path) -> tuple[list[PublishedFit], list[str]]:
    """All of them whose points lie in the folder, and one line for each file that does not."""
    found: list[PublishedFit] = []
    absent = []
    for data, (files, read) in _READERS.items():
        paths = [folder / data / file for file in files]
        missing = [path for path in paths if not path.is_file()]
        if missing:
            absent.append(f"{data}: no {missing[0]}")
            continue
        found += read(*(pd.read_csv(path) for path in paths))
    return found, absent


def _sambay(points: pd.DataFrame, legends: pd.DataFrame) -> Iterator[PublishedFit]:
    published = legends.set_index("series")
    for series, rows in points.groupby("series", sort=False):
        legend = {name: float(published[f"pub_{name}"][str(series)]) for name in "AbC"}
        figures = {name: f"{value:.2f}" for name, value in legend.items() if np.isfinite(value)}
        yield PublishedFit(
            data="archscale_sambay",
            name=str(series),
            law="power_offset",
            loss="ls",
            x=rows.x.to_numpy(float),
            y=rows.loss.to_numpy(float),
            figures=figures,
        )


def _besiroglu(table: pd.DataFrame) -> Iterator[PublishedFit]:
    y, N, flops = (table[name].to_numpy(float) for name in ("loss", "Model Size", "Training FLOP"))
    x, kept = np.column_stack([N, flops / (6 * N)]), y < np.sort(y)[-5]
    huber = {"A": "477.826", "B": "2143.417", "E": "1.817218", "alpha": ".3473105", "beta": ".3671724"}
    huber["objective"] = "1.018274e-3"
    deviations = {"A": "482.00", "B": "2085.39", "E": "1.816862", "alpha": ".347812", "beta": ".365853"}
    scalefit = {"A": "4.0005", "B": "1.0509", "E": "1.9051", "alpha": ".3511", "beta": ".4587", "objective": ".062414"}
    few, units = kept & (flops < 1e21), [1e6, 1e9]
    for name, loss, figures, inputs, chosen in (
        ("Huber", "huber-log:1e-3", huber, x, kept),
        ("least deviations", "lad-log", deviations, x, kept),
        ("ml-scalefit", "ls", scalefit, x / units, few),
    ):
        yield PublishedFit(
            data="besiroglu2024",
            name=name,
            law="chinchilla",
            loss=loss,
            x=inputs[chosen],
            y=y[chosen],
            figures=figures,
        )


def _isoflop(table: pd.DataFrame) -> Iterator[PublishedFit]:
    for experiment, rows in table.groupby("experiment", sort=False):
        x, y = rows[["params", "tokens"]].to_numpy(float) / [1e6, 1e9], rows.loss.to_numpy(float)
        published = _VPNLS.get(str(experiment))
        figures = {"huber:1e-3": {} if published is None else {"mean · 1e6": published}}
        if experiment == "llama_3__raw_loss":
            figures["ls"] = {"E": ".6047", "alpha": ".3100", "beta": ".3136"}
        for loss, printed in figures.items():
            yield PublishedFit(
                data="isoflop_openathena2026",
                name=f"{str(experiment).replace('__', ' ')}{', ls' if loss == 'ls' else ''}",
                law="chinchilla",
                loss=loss,
                x=x,
                y=y,
                figures=printed,
            )


def _olmo(ladder: pd.DataFrame, tasks: pd.DataFrame, c4: pd.DataFrame) -> Iterator[PublishedFit]:
    seen = ladder[ladder["mode"] == "train"]
    (largest,) = ladder[ladder.name == "13B-5T"].to_dict("records")
    predicted = dict(zip(tasks.Task, tasks.Pred, strict=True))
    columns = {"c4_en-validation_mean_last5": c4.Pred[0]}
    for column in ladder.columns:
        task = column.replace("_rc_5shot_bpb_mean_last5", "_5shot")
        if task in predicted:
            columns[column] = predicted[task]
    for column, value in columns.items():
        goal = np.array([largest["N"], largest["D"]], dtype=float)
        yield PublishedFit(
            data="olmo_ladder2024",
            name=column.partition("_rc_")[0].removesuffix("_mean_last5"),
            law="chinchilla",
            loss="huber-log:1e-3",
            x=seen[["N", "D"]].to_numpy(float),
            y=seen[column].to_numpy(float),
            held=(Held(name="13B-5T", x=goal, actual=float(largest[column]), predicted=f"{value:.6f}"),),
        )


def _open_lm(table: pd.DataFrame) -> Iterator[PublishedFit]:
    errors = {"rpj": (("1b", 32.0, ".7103"), ("7b", 1.0, ".7320"))}
    for mixture, rows in table.assign(M=20 * table.cc).groupby("ds", sort=False):
        small = (rows.model.isin(_SMALL_OPEN_LM) & (rows.cc == 1)) | (
            (rows.model == _SMALL_OPEN_LM[0]) & (rows.cc == 16)
        )
        held = []
        for model, multiplier, error in errors.get(str(mixture), ()):
            (row,) = rows[(rows.model == f"open_lm_{model}") & (rows.cc == multiplier)].to_dict("records")
            goal = np.array([row["N"], row["M"]], dtype=float)
            name, actual = f"{model} M {row['M']:g}", float(row["loss_c4_val"])
            held.append(Held(name=name, x=goal, actual=actual, error_percent=error))
        yield PublishedFit(
            data="openlm_gadre2024",
            name=str(mixture),
            law="open_lm",
            loss="ls",
            x=rows.loc[small, ["N", "M"]].to_numpy(float),
            y=rows.loc[small, "loss_c4_val"].to_numpy(float),
            held=tuple(held),
        )


_READERS: dict[str, tuple[tuple[str, ...], Callable[..., Iterator[PublishedFit]]]] = {
    "archscale_sambay": (("points.csv", "published_and_refit.csv"), _sambay),
    "besiroglu2024": (("svg_extracted_data.csv",), _besiroglu),
    "isoflop_openathena2026": (("isoflops.csv",), _isoflop),
    "olmo_ladder2024": (("ladder_step1.csv", "published_step1_main.csv", "published_step1_c4_main.csv"), _olmo),
    "openlm_gadre2024": (("runs_104.csv",), _open_lm),
}
