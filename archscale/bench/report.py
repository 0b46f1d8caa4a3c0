"""How long the report of a large study takes: made-up runs of five architectures, read once and read again.

The runs are real files with a made-up loss, L = A·C^-b + E plus noise over the compute C that their specs stand for, so
that `archscale report` does all of its work. It runs in processes of its own, as a user would start it.
"""

import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from analysis.report.write import write_report
from analysis.run_cache import read_runs
from archscale.bench.browser import open_seconds
from archscale.plan import recount
from archscale.registry import UserError
from archscale.runlog.directory import Result, RunDirectory, Status
from archscale.runlog.files import write_json
from archscale.scaling.flops import training_flops
from archscale.spec import FitSettings, RunSpec
from archscale.study import StudyCell, expand, load_study

ARCHITECTURES = ("transformer_pp", "samba", "samba_yoco", "sambay", "gdny")
SCALES = 10
_ROWS = 200
_NOISE = 0.0006
_LAW = {"A": 14.0, "b": 0.11, "E": 1.05}


@dataclass(frozen=True, kw_only=True)
class ReportTime:
    """`read` says where the runs were read from: their files, or the cached table. `seconds` is the whole command, from
    the start of Python on, `write_seconds` all after reading: fits, comparisons, figures and page. `open_seconds` is
    the time until every figure of the page is drawn, None where there is no browser to ask.
    """

    read: str
    runs: int
    seconds: float
    write_seconds: float
    page_bytes: int
    open_seconds: float | None


def bench_report(runs: int) -> list[ReportTime]:
    """The same report twice, first from the files of the runs and then from the cached table.

    Raises:
        UserError: when `archscale report` fails.
    """
    with TemporaryDirectory() as folder:
        root = Path(folder)
        study, cells = make_study(root, runs)
        page = root / "studies" / study.stem / "report.html"
        rows = []
        for read in ("files", "cached table"):
            seconds = _time_command(study, root)
            rows.append(
                ReportTime(
                    read=read,
                    runs=len(cells),
                    seconds=seconds,
                    write_seconds=_time_writing(cells, root, page.parent),
                    page_bytes=page.stat().st_size,
                    open_seconds=open_seconds(page),
                )
            )
        return rows


def make_study(root: Path, runs: int) -> tuple[Path, list[StudyCell]]:
    """A study file under `root` of at least so many cells, and a finished run for each of them."""
    study = root / "made_up.yaml"
    seeds = math.ceil(runs / (SCALES * len(ARCHITECTURES)))
    tokens = [int(100_000 * 1.6**k) for k in range(SCALES)]
    study.write_text(
        json.dumps(
            {
                "title": "Five architectures, made-up losses",
                "overrides": [
                    "scale=cpu",
                    "scale.tokens_per_param=null",
                    "data=python_stdlib",
                    "parametrization=mup_pp",
                    "arch.window=32",
                ],
                "product": {"arch": list(ARCHITECTURES), "seed": list(range(seeds))},
                "zip": {"scale.depth": [8 + 4 * (k // 2) for k in range(SCALES)], "scale.tokens": tokens},
                "fit": {},
            }
        )
    )
    cells = expand(load_study(str(study)))
    for cell in cells:
        _write_run(root / cell.run_id, cell.spec)
    return study, cells


def _time_command(study: Path, root: Path) -> float:
    command = [sys.executable, "-m", "archscale", "report", str(study), "--root", str(root)]
    started = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ, check=False)
    seconds = time.perf_counter() - started
    if done.returncode:
        raise UserError(f"archscale report failed: {done.stderr.strip().splitlines()[-1:]}")
    return seconds


def _time_writing(cells: Sequence[StudyCell], root: Path, out: Path) -> float:
    table = read_runs([RunDirectory(root / cell.run_id) for cell in cells], cache=out / "runs.cache")
    table = replace(table, runs=recount(table.runs, cells))
    started = time.perf_counter()
    write_report(name=out.name, title=out.name, question="", table=table, missing=[], settings=FitSettings(), out=out)
    return time.perf_counter() - started


def _write_run(path: Path, spec: RunSpec) -> None:
    directory = RunDirectory(path)
    directory.create(spec)
    flops = training_flops(spec, spec.tokens)
    generator = np.random.default_rng([spec.seed, spec.optim.steps])
    offset = 0.01 * ARCHITECTURES.index(spec.arch.name)
    loss = (_LAW["A"] - offset) * flops ** -_LAW["b"] + _LAW["E"] + offset + _NOISE * generator.standard_normal()
    parameters = round(flops / (6 * spec.tokens))
    attempt = directory.attempt_path(1)
    attempt.mkdir(parents=True)
    provenance = {"git_commit": "0" * 40, "git_dirty": False, "archscale": "0.1.0", "torch": "2.13.0", "python": "3.11"}
    command = f"python -m archscale.launch.job {path.name}"
    write_json(attempt / "provenance.json", provenance | {"host": "made-up", "command": command})
    (attempt / "log.txt").write_text("".join(f"step {step} of {_ROWS}\n" for step in range(_ROWS)))
    directory.metrics_path.write_text("".join(_rows(spec, float(loss), generator)))
    directory.write_result(
        Result(
            verdict="finished",
            validation_loss=float(loss),
            train_loss=float(loss),
            steps=spec.optim.steps,
            tokens=spec.tokens,
            parameters=parameters,
            non_embedding_parameters=parameters,
            train_flops=flops,
            flops_accounting=spec.flops_accounting.value,
            unigram_entropy=3.3,
            train_seconds=spec.tokens * parameters / 2e9,
            tokens_per_second=2e9 / parameters,
        )
    )
    directory.write_status(Status(state="finished", attempt=1, step=spec.optim.steps))


def _rows(spec: RunSpec, loss: float, generator: np.random.Generator) -> list[str]:
    """A training curve of 200 rows that ends at `loss`, each tenth with a validation loss."""
    steps = np.unique(np.linspace(1, spec.optim.steps, _ROWS).astype(int))
    means = loss + 4 * (1 - np.log(steps) / np.log(spec.optim.steps)) ** 1.5
    rows = []
    for place, (step, mean) in enumerate(zip(steps, means, strict=True), start=1):
        row: dict[str, float] = {"train_step": int(step), "tokens": int(step) * spec.optim.batch_tokens}
        row |= {"train_loss": float(mean + 0.02 * generator.standard_normal()), "learning_rate": 1e-3}
        rows.append(json.dumps(row | ({"validation_loss": float(mean)} if place % 20 == 0 else {})) + "\n")
    return rows
