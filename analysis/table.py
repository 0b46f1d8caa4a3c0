"""RunTable: what a set of runs measured, as two pandas tables with declared units.

    run directories,
    wandb files     ──▶ runs    one row a run, finished or not          (columns: COLUMNS)
                        curves  one row a logged step of a run          (columns: CURVE_COLUMNS)

Only finished runs enter a fit. Every other run stays in the table with its state, so that a report can name it.
"""

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from analysis.columns import COLUMNS, CURVE_COLUMNS, MEASURED, NUMERIC, Column
from archscale.identity import identity_fields, run_id
from archscale.registry import UserError
from archscale.runlog.directory import Result, RunDirectory, State
from archscale.runlog.wandb_file import WandbRun
from archscale.spec import ParametrizationSpec, RunSpec, from_mapping

# How figures name the values of a column.
_TITLES = {"architecture": "title", "variant": "parametrization_title"}

# What every run of one fit must share; with two values of it, losses or compute are not on one scale.
_ONE_OF = {
    "flops_accounting": "count their FLOPs in different ways",
    "corpus_hash": "were trained on different corpora, whose losses cannot be compared",
}


@dataclass(frozen=True, kw_only=True)
class RunTable:
    """`runs` has the columns of COLUMNS, `curves` those of CURVE_COLUMNS; a value a run does not have is missing."""

    runs: pd.DataFrame
    curves: pd.DataFrame

    @property
    def columns(self) -> Mapping[str, Column]:
        """What the columns of `runs` mean."""
        return COLUMNS

    @property
    def noun(self) -> str:
        """What the rows are."""
        return "runs"

    def given_name(self, column: str) -> str:
        """What whoever made the table calls a column."""
        return column

    @property
    def notes(self) -> Sequence[str]:
        """What a reader has to know of the numbers."""
        return ()

    @property
    def listing(self) -> pd.DataFrame:
        """The rows as a file beside the report holds them."""
        return self.runs

    @property
    def numeric(self) -> Sequence[str]:
        """The columns that a law may be fitted to."""
        return NUMERIC

    @classmethod
    def from_directories(
        cls, directories: Iterable[RunDirectory], states: Mapping[str, State] | None = None
    ) -> "RunTable":
        """Read every directory once.

        Args:
            states: by run id, where something that watches the jobs knows better than the files do (a run whose job
                died still says `running` on disk).

        Raises:
            UserError: when a directory has no valid spec.json, or two of them hold the same run.
        """
        rows, curves = [], []
        for directory in directories:
            row, curve = read_directory(directory)
            rows.append(row | {"state": (states or {}).get(directory.run_id, row["state"])})
            curves += [{"run_id": directory.run_id} | point for point in curve]
        return cls.from_rows(rows, pd.DataFrame(curves, columns=list(CURVE_COLUMNS)))

    @classmethod
    def from_wandb(cls, runs: Iterable[WandbRun]) -> "RunTable":
        """Runs as wandb recorded them: `merge_attempts` of the offline files gives one a run.

        The config of a run is its spec, its summary the result; what lies beside a run directory alone (commit,
        attempts, failure) is missing.

        Raises:
            UserError: when a run was not logged by this program, or is listed twice.
        """
        rows, curves = [], []
        for run in runs:
            rows.append(_wandb_row(run))
            history = run.history.dropna(axis="columns", how="all").to_dict("records")
            curves += [{"run_id": run.run_id} | _curve_row({str(k): v for k, v in row.items()}) for row in history]
        return cls.from_rows(rows, pd.DataFrame(curves, columns=list(CURVE_COLUMNS)))

    @classmethod
    def from_rows(cls, rows: Sequence[Mapping[str, Any]], curves: pd.DataFrame) -> "RunTable":
        """Rows as `read_directory` gives them; what is no number in a column of numbers is missing.

        Raises:
            UserError: when two rows are the same run.
        """
        runs = pd.DataFrame(rows, columns=list(COLUMNS))
        twice = runs["run_id"][runs["run_id"].duplicated()]
        if len(twice):
            raise UserError(f"run {twice.iloc[0]} is listed twice: one of its two directories is a copy; name only one")
        measured = [*MEASURED, "base_learning_rate"]
        runs[measured] = runs[measured].apply(pd.to_numeric, errors="coerce").astype(float)
        numbers = [name for name in CURVE_COLUMNS if name != "run_id"]
        as_numbers = curves[numbers].apply(pd.to_numeric, errors="coerce").astype(float)
        return cls(runs=runs, curves=as_numbers.assign(run_id=curves["run_id"])[list(CURVE_COLUMNS)])

    def titles(self, column: str = "architecture") -> dict[str, str]:
        """Value of the column → what to call it: its title, with the value added where two share a title."""
        if column not in _TITLES:
            return {}
        pairs = dict(zip(self.runs[column], self.runs[_TITLES[column]], strict=True))
        shared = {title for title in pairs.values() if list(pairs.values()).count(title) > 1}
        return {name: f"{title} ({name})" if title in shared else title for name, title in sorted(pairs.items())}

    def records(self) -> list[dict[str, Any]]:
        """The rows of `runs` as dictionaries of plain Python values, in order of architecture, depth and run id."""
        return records_of(self.runs.sort_values(["architecture", "depth", "run_id"]))

    def left_out(self) -> dict[str, str]:
        """Run id → why the run is not a point of the fit, for every run that is not."""
        reasons = {}
        for row in self.records():
            if row["state"] != "finished":
                reasons[row["run_id"]] = str(row["state"])
            elif not (_is_positive(row["validation_loss"]) and _is_positive(row["compute"])):
                reasons[row["run_id"]] = "finished without a finite loss and compute"
        return reasons

    def fit_points(self) -> pd.DataFrame:
        """The finished runs, in order of architecture, compute and run id.

        Raises:
            UserError: when they mix two ways of counting FLOPs or two corpora.
        """
        points = self.runs[~self.runs["run_id"].isin(self.left_out().keys())]
        for column, what in _ONE_OF.items():
            counts = points[column].value_counts()
            if len(counts) > 1:
                listed = ", ".join(f"{value} ({counts[value]} runs)" for value in sorted(counts.index))
                raise UserError(f"the finished runs {what}: {column} = {listed}; report each value as its own study")
        return points.sort_values(["architecture", "compute", "run_id"], ignore_index=True)


def records_of(rows: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(name): value for name, value in row.items()} for row in rows.to_dict("records")]


def planned_row(spec: RunSpec) -> dict[str, Any]:
    """The row of a run that is not there yet: what its spec says, under the names of COLUMNS."""
    return _run_row(run_id(spec), spec, None, "pending")


def read_directory(directory: RunDirectory) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """What one run measured: its row of `runs`, with the state that its files tell, and those of `curves`.

    Raises:
        UserError: when the directory has no valid spec.json.
    """
    return _directory_row(directory), [_curve_row(row) for row in directory.metrics()]


def _directory_row(directory: RunDirectory) -> dict[str, Any]:
    status, result, provenance = directory.status(), directory.result(), directory.provenance()
    on_disk: State = result.verdict if result else status.state if status else "pending"
    return _run_row(directory.run_id, directory.spec(), result, on_disk) | {
        "failure": status.failure if status else None,
        "message": status.message if status else "",
        "attempts": len(directory.attempts()),
        "git_commit": provenance.get("git_commit"),
        "git_dirty": bool(provenance.get("git_dirty", False)),
        "archscale_version": provenance.get("archscale"),
        "torch_version": provenance.get("torch"),
        "started": provenance.get("started"),
        "path": str(directory.path),
    }


def _wandb_row(run: WandbRun) -> dict[str, Any]:
    spec = from_mapping(RunSpec, run.config, where=f"wandb run {run.run_id}")
    values: dict[str, Any] = {field.name: run.summary.get(field.name) for field in dataclasses.fields(Result)}
    result = Result(**values) if "verdict" in run.summary else None
    row = _run_row(run.run_id, spec, result, result.verdict if result else "interrupted")
    return row | {"message": "", "git_dirty": False, "path": str(run.path.parent)}


def _run_row(identity: str, spec: RunSpec, result: Result | None, state: State) -> dict[str, Any]:
    variant = _variant(spec.parametrization)
    return {
        "run_id": identity,
        "architecture": spec.arch.name,
        "title": spec.arch.title or spec.arch.name,
        "version": spec.arch.version,
        "depth": spec.scale.depth,
        "width": spec.scale.width,
        "tokens": result.tokens if result else spec.tokens,
        "state": state,
        "seed": spec.seed,
        "recipe": run_id(dataclasses.replace(spec, seed=0)),
        "parametrization": spec.parametrization.name,
        "parametrization_title": spec.parametrization.title or variant,
        "variant": variant,
        "learning_rate": spec.optim.learning_rate,
        "batch_tokens": spec.optim.batch_tokens,
        "sequence_length": spec.data.sequence_length,
        "window": spec.arch.window,
        "precision": spec.precision,
        "corpus_hash": spec.data.content_hash,
    } | _measured(result)


def _variant(spec: ParametrizationSpec) -> str:
    """Its title, its name, and each option that is not as it is by default; a title alone sets rules apart as well."""
    options = identity_fields(spec)
    rules = " ".join([options.pop("name"), *(f"{name}={value}" for name, value in options.items())])
    return f"{spec.title}: {rules}" if spec.title else rules


def _measured(result: Result | None) -> dict[str, Any]:
    if result is None:
        return {}
    return {
        "parameters": result.parameters,
        "non_embedding_parameters": result.non_embedding_parameters,
        "compute": result.train_flops,
        "flops_accounting": result.flops_accounting,
        "validation_loss": result.validation_loss,
        "train_loss": result.train_loss,
        "unigram_entropy": result.unigram_entropy,
        "tokens_per_second": result.tokens_per_second,
        "train_seconds": result.train_seconds,
    }


def _curve_row(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: row[name] for name in CURVE_COLUMNS if name in row}


def _is_positive(value: float) -> bool:
    return math.isfinite(value) and value > 0
