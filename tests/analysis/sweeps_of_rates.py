"""Run tables of learning-rate sweeps with a known optimum: real run directories, losses on a parabola plus noise."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from analysis.table import RunTable
from archscale.spec import ParametrizationSpec, RunSpec
from tests.analysis import fake_runs

RATES = tuple(2e-3 * 2.0**k for k in range(7))
WIDTHS = (16, 32, 64)
SP = ParametrizationSpec(name="sp", title="SP")
MUP_PP = ParametrizationSpec(name="mup_pp", title="μP++")


def spec_at(parametrization: ParametrizationSpec, width: int, rate: float, *, seed: int = 0, depth: int = 8) -> RunSpec:
    spec = fake_runs.spec_of("transformer_pp", depth, seed=seed)
    return replace(
        spec,
        parametrization=parametrization,
        scale=replace(spec.scale, width=width),
        optim=replace(spec.optim, learning_rate=rate),
    )


def best_rate(parametrization: ParametrizationSpec, width: int) -> float:
    """What these losses are lowest at: falling as 1/width under SP, the same everywhere under μP++."""
    return 0.02 * (16 / width if parametrization.name == "sp" else 1.0)


def loss_at(parametrization: ParametrizationSpec, width: int, rate: float) -> float:
    return 2.0 + 4.0 / width + 0.05 * float(np.log(rate / best_rate(parametrization, width))) ** 2


def write_sweeps(root: Path, *, noise: float = 0.0, diverged_above: float = np.inf, seeds: int = 1) -> RunTable:
    """SP and μP++ at every width and rate; under SP, rates × width / 16 above `diverged_above` diverge."""
    generator, directories, rates = np.random.default_rng(0), [], {}
    for parametrization in (SP, MUP_PP):
        for width in WIDTHS:
            for rate in RATES:
                for seed in range(seeds):
                    spec = spec_at(parametrization, width, rate, seed=seed)
                    if parametrization is SP and rate * width / 16 > diverged_above:
                        directory = fake_runs.write_diverged(root, spec)
                    else:
                        loss = loss_at(parametrization, width, rate) + noise * float(generator.standard_normal())
                        directory = fake_runs.write_run(root, spec, loss=loss)
                    directories.append(directory)
                    rates[directory.run_id] = rate
    return with_rates(RunTable.from_directories(directories), rates)


def with_rates(table: RunTable, rates: dict[str, float]) -> RunTable:
    """As `archscale report` completes the table from the study."""
    return replace(table, runs=table.runs.assign(base_learning_rate=table.runs["run_id"].map(rates).astype(float)))
