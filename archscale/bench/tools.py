"""Public tools that fit scaling laws, and ours, on the same points.

A tool is called the way its documentation calls it. One function of ours, `Case.objective`, judges the parameters that
it returns. Tools that are not installed are named with the command that installs them:

    chinchilla            0.2.0, BFGS from each node of a grid of starts, the mean of any loss
    simple-scaling-laws   0.2.0, least squares from a grid of exponents, wild cluster bootstrap
    curve_fit of scipy    from one start, as the plot scripts of SambaY (arXiv 2507.06607) call it
"""

import importlib.metadata
import importlib.util
import os
import time
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd
from scipy.optimize import curve_fit

from analysis.fit import fit
from archscale.bench.tool_cases import CHINCHILLA, OFFSET, Case
from archscale.registry import UserError

STARTS = 3
# Brings the mean of a Huber loss with δ = 1e-3 to where the tolerance of BFGS, a gradient of 1e-5, can resolve it.
_MAGNIFIED = 1e6


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a tool returns: parameters in the units of the points, 95 % intervals of some, and its own warnings."""

    parameters: dict[str, float]
    intervals: dict[str, tuple[float, float]] = field(default_factory=dict)
    says: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class FittingTool:
    """`module` is what has to be importable, `distribution` what is installed for it; `laws` it can fit."""

    name: str
    module: str
    distribution: str
    laws: tuple[str, ...]
    run: Callable[[Case], Answer]
    install: str = ""

    @property
    def is_here(self) -> bool:
        return importlib.util.find_spec(self.module) is not None

    @property
    def version(self) -> str:
        """Empty for one that is on the path without being installed."""
        try:
            return importlib.metadata.version(self.distribution)
        except importlib.metadata.PackageNotFoundError:
            return ""


@dataclass(frozen=True, kw_only=True)
class ToolRow:
    """One tool on one case. `seconds` of the clock, `core_seconds` of all its processes; `problem` where it failed.

    `over_best` is the objective over the smallest that any tool found for the case, less one.
    """

    case: str
    tool: str
    version: str
    parameters: dict[str, float] = field(default_factory=dict)
    intervals: dict[str, tuple[float, float]] = field(default_factory=dict)
    says: tuple[str, ...] = ()
    objective: float | None = None
    over_best: float | None = None
    seconds: float = 0.0
    core_seconds: float = 0.0
    problem: str = ""


def tools(starts: int = STARTS) -> tuple[FittingTool, ...]:
    """Ours and the public ones; `starts` of chinchilla for each of its five parameters, 5 in its documentation."""
    other = partial(FittingTool, module="chinchilla", distribution="chinchilla", laws=(CHINCHILLA,))
    other = partial(other, install="pip install chinchilla==0.2.0")
    return (
        FittingTool(
            name="archscale", module="analysis", distribution="archscale", laws=(CHINCHILLA, OFFSET), run=_archscale
        ),
        FittingTool(name="curve_fit", module="scipy", distribution="scipy", laws=(OFFSET,), run=_curve_fit),
        FittingTool(
            name="simple-scaling-laws",
            module="simple_scaling_laws",
            distribution="simple-scaling-laws",
            laws=(CHINCHILLA, OFFSET),
            run=_simple_scaling_laws,
            install="pip install simple-scaling-laws==0.2.0 (Python 3.12)",
        ),
        other(name="chinchilla", run=partial(_chinchilla, starts=starts, factor=None)),
        other(name="chinchilla, our loss", run=partial(_chinchilla, starts=starts, factor=1.0)),
        other(name="chinchilla, × 1e6", run=partial(_chinchilla, starts=starts, factor=_MAGNIFIED)),
    )


def compare_tools(
    cases: Sequence[Case], among: Iterable[FittingTool], *, done: Callable[[ToolRow], None] = lambda row: None
) -> tuple[list[ToolRow], list[str]]:
    """A row for each case and each tool that is installed and knows its law, and one line for each that is not here.

    `done` is called with each row as it is measured, before `over_best` is known.
    """
    among = list(among)
    here = [tool for tool in among if tool.is_here]
    absent = {tool.install: f"{tool.module} is not installed: {tool.install}" for tool in among if not tool.is_here}
    rows = []
    for case in cases:
        of_case = []
        for tool in here:
            if case.law_name in tool.laws:
                of_case.append(measure(case, tool))
                done(of_case[-1])
        rows += _over_best(of_case)
    return rows, list(absent.values())


def measure(case: Case, tool: FittingTool) -> ToolRow:
    """An error of a tool is a result like any other: its first line is the row's problem."""
    clock, used = time.perf_counter(), _core_seconds()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            answer, problem = tool.run(case), ""
    except Exception as error:  # noqa: BLE001  # whatever another tool raises
        kind = "" if isinstance(error, UserError) else f"{type(error).__name__}: "
        answer, problem = None, kind + (str(error).strip().splitlines() or [""])[0]
    seconds, core_seconds = time.perf_counter() - clock, _core_seconds() - used
    row = partial(ToolRow, case=case.name, tool=tool.name, version=tool.version, seconds=seconds)
    row = partial(row, core_seconds=core_seconds)
    if answer is None:
        return row(problem=problem)
    objective = case.objective(answer.parameters)
    return row(
        parameters=answer.parameters,
        intervals=answer.intervals,
        says=answer.says,
        objective=objective if np.isfinite(objective) else None,
        problem="" if np.isfinite(objective) else "its parameters predict a loss that is not a positive number",
    )


def _over_best(rows: list[ToolRow]) -> list[ToolRow]:
    best = min((row.objective for row in rows if row.objective is not None), default=0.0)
    return [
        ToolRow(**{**vars(row), "over_best": row.objective / best - 1 if row.objective is not None and best else None})
        for row in rows
    ]


def _core_seconds() -> float:
    """Of this process and of those it waited for."""
    spent = os.times()
    return spent.user + spent.system + spent.children_user + spent.children_system


def _archscale(case: Case) -> Answer:
    found = fit(case.law_name, case.x, case.y, loss=case.loss)
    return Answer(
        parameters=found.parameters,
        intervals={name: (interval.low, interval.high) for name, interval in found.intervals.items()},
        says=tuple(f"{name} {said}" for name, said in found.verdicts.items() if said != "identified"),
    )


def _curve_fit(case: Case) -> Answer:
    """From one start, C bounded by the smallest loss; the scripts leave the covariance unused."""
    x, y = case.x, case.y
    offset, exponent = 0.95 * float(y.min()), 0.1
    start = [(y[0] - offset) * x[0] ** exponent, exponent, offset]
    found, _ = curve_fit(
        lambda x, A, b, C: A * x**-b + C, x, y, p0=start, bounds=([0, 0, 0], [np.inf, np.inf, y.min()]), maxfev=5000
    )
    return Answer(parameters={name: float(value) for name, value in zip("AbC", found, strict=True)})


def _simple_scaling_laws(case: Case) -> Answer:
    """Its default law with its default 1000 draws; it fits inputs over their geometric mean, which is undone here."""
    from simple_scaling_laws import fit as fit_table

    columns = ("model_size__N", "dataset_size__D")[: len(case.law.inputs)]
    table = pd.DataFrame(case.x.reshape(case.y.size, -1), columns=list(columns))
    table.insert(0, "training_run_id", [f"run{i}" for i in range(case.y.size)])
    table["test_loss__loss"] = case.y
    with TemporaryDirectory() as folder:
        path = Path(folder) / "runs.csv"
        table.to_csv(path, index=False)
        model = fit_table(str(path), law="separable-power")
    own, bounds = model.params("test_loss__loss"), model.conf_int("test_loss__loss")
    names = {"E": "E", "alpha": "alpha", "beta": "beta"} if len(columns) == 2 else {"E": "C", "alpha": "b"}
    parameters = {ours: own[theirs] for theirs, ours in names.items()}
    for amplitude, exponent, column in zip("AB", ("alpha", "beta"), columns, strict=False):
        parameters[amplitude] = own[amplitude] * model.observed_domain[column]["reference"] ** own[exponent]
    return Answer(
        parameters=parameters,
        intervals={ours: bounds[theirs] for theirs, ours in names.items()},
        says=tuple(note.code for note in model.warnings),
    )


def _chinchilla(case: Case, *, starts: int, factor: float | None) -> Answer:
    """The ranges of starts of its documentation; its own loss without `factor`, else the case's, times it."""
    import matplotlib
    from chinchilla import Chinchilla

    matplotlib.use("Agg")
    grid = {"E": (1, 2), "a": (1, 10), "b": (1, 10), "alpha": (0.1, 0.7), "beta": (0.1, 0.7)}
    options: dict[str, Any] = {} if factor is None else {"loss_fn": _chinchilla_loss(case.loss, factor)}
    table = pd.DataFrame(case.x, columns=["N", "D"])
    table.insert(0, "C", 6 * table.N * table.D)
    with TemporaryDirectory() as folder:
        table.assign(loss=case.y).to_csv(Path(folder) / "df.csv", index=False)
        fitted = Chinchilla(
            folder,
            param_grid={name: np.linspace(*ends, starts) for name, ends in grid.items()},
            log_level=100,
            **options,
        )
        fitted.fit()
    return Answer(parameters=dict(fitted.params))


def _chinchilla_loss(loss: str, factor: float) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """Its own functions of the same meaning."""
    from chinchilla._metrics import log_huber, mse

    kind, _, delta = loss.partition(":")
    rho = {"ls": mse, "huber-log": partial(log_huber, delta=float(delta or 1))}[kind]
    return lambda y_true, y_pred: factor * rho(y_true, y_pred)
