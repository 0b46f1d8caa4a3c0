"""Run directories with a known answer: real files, losses on L = A·x^-b + C plus a little stated noise."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np

from archscale.identity import run_id
from archscale.runlog.directory import Result, RunDirectory, Status
from archscale.runlog.files import write_json
from archscale.runlog.metrics import MetricsFile
from archscale.spec import ArchSpec, DataSpec, LayerSpec, OptimSpec, ParametrizationSpec, RunSpec, ScaleSpec, SpanSpec

DEPTHS = (8, 12, 16, 20)
LAW = {"transformer_pp": (60.0, 0.16, 1.40), "sambay": (57.5, 0.16, 1.41)}  # A, b, C with x in FLOPs
TITLES = {"transformer_pp": "Transformer++", "sambay": "SambaY"}
MIXERS = {"transformer_pp": "attention", "sambay": "mamba"}
NOISE = 0.002
ENTROPY = 2.95
ACCOUNTING = "6·N·T, all parameters"
ATTACK = "<script>alert(1)</script>"
COMMIT = "3f2c9a1be07d4c55a8e6b1d20f94c7735a6be812"


def spec_of(architecture: str, depth: int, *, title: str | None = None, corpus: str = "a3f1", seed: int = 0) -> RunSpec:
    width = 4 * depth
    return RunSpec(
        arch=ArchSpec(
            name=architecture,
            title=TITLES.get(architecture, "") if title is None else title,
            stack=(SpanSpec(span="rest", tile=(LayerSpec(mixer=MIXERS.get(architecture, "attention")),)),),
            window=32,
        ),
        scale=ScaleSpec(
            depth=depth,
            width=width,
            head_dim=8,
            num_heads=depth // 2,
            num_kv_heads=depth // 4,
            base_depth=8,
            base_width=32.0,
        ),
        parametrization=ParametrizationSpec(name="mup_plus_plus"),
        data=DataSpec(
            source="shakespeare", content_hash=corpus, vocab_size=256, sequence_length=64, validation_tokens=4096
        ),
        optim=OptimSpec(
            learning_rate=4e-3 * (8 / depth) ** 0.5, batch_tokens=2048, steps=10 * depth**3 // 64, warmup_steps=8
        ),
        seed=seed,
    )


def parameters_of(spec: RunSpec) -> int:
    return 12 * spec.scale.depth * spec.scale.width**2 + 256 * spec.scale.width


def compute_of(spec: RunSpec) -> float:
    return 6.0 * parameters_of(spec) * spec.tokens


def loss_of(spec: RunSpec, noise: float = NOISE) -> float:
    amplitude, exponent, offset = LAW.get(spec.arch.name, LAW["sambay"])
    generator = np.random.default_rng([spec.scale.depth, len(spec.arch.name), spec.seed])
    return float(amplitude * compute_of(spec) ** -exponent + offset + noise * generator.standard_normal())


def write_spec(root: Path, spec: RunSpec) -> RunDirectory:
    directory = RunDirectory(root / run_id(spec))
    directory.create(spec)
    return directory


def write_run(
    root: Path,
    spec: RunSpec,
    *,
    loss: float | None = None,
    accounting: str = ACCOUNTING,
    commit: str | None = COMMIT,
    compute_factor: float = 1.0,
) -> RunDirectory:
    """A finished run."""
    directory = write_spec(root, spec)
    final = loss_of(spec) if loss is None else loss
    write_attempt(directory, commit=commit, log=f"step {spec.optim.steps} validation_loss {final:.4f}\nfinished\n")
    write_curve(directory, spec, final)
    result = result_of(spec, final, accounting=accounting)
    directory.write_result(replace(result, train_flops=compute_factor * result.train_flops))
    directory.write_status(Status(state="finished", attempt=1, step=spec.optim.steps))
    return directory


def result_of(spec: RunSpec, loss: float, *, accounting: str = ACCOUNTING) -> Result:
    parameters = parameters_of(spec)
    rate = 2.2e9 / parameters * (0.8 if spec.arch.name == "sambay" else 1.0)
    return Result(
        verdict="finished",
        validation_loss=loss,
        train_loss=loss - 0.01,
        steps=spec.optim.steps,
        tokens=spec.tokens,
        parameters=parameters,
        non_embedding_parameters=parameters - 256 * spec.scale.width,
        train_flops=compute_of(spec),
        flops_accounting=accounting,
        unigram_entropy=ENTROPY,
        train_seconds=spec.tokens / rate,
        tokens_per_second=rate,
    )


def write_diverged(root: Path, spec: RunSpec) -> RunDirectory:
    directory = write_spec(root, spec)
    write_attempt(directory, log="step 40 train_loss nan\ndiverged\n")
    write_curve(directory, spec, 4.9)
    values = replace(result_of(spec, 4.9), verdict="diverged", validation_loss=None, train_loss=None, steps=40)
    directory.write_result(values)
    directory.write_status(
        Status(state="diverged", message="the loss rose above 3 times its minimum", attempt=1, step=40)
    )
    return directory


def write_failed(root: Path, spec: RunSpec) -> RunDirectory:
    directory = write_spec(root, spec)
    lines = [f"line {number}" for number in range(60)] + [f"RuntimeError: {ATTACK}"]
    write_attempt(directory, log="\n".join(lines) + "\n")
    directory.write_status(Status(state="failed", failure="bug", message=f"RuntimeError: {ATTACK}", attempt=1))
    return directory


def write_attempt(directory: RunDirectory, *, log: str, commit: str | None = COMMIT, dirty: bool = False) -> None:
    folder = directory.attempt_path(1)
    folder.mkdir(parents=True)
    write_json(
        folder / "provenance.json",
        {
            "git_commit": commit,
            "git_dirty": dirty,
            "archscale": "0.1.0",
            "python": "3.11.2",
            "torch": "2.13.0",
            "host": "node-1",
            "platform": "Linux",
            "processors": "x86_64",
            "command": f"python -m archscale.train {directory.run_id}",
            "started": "2026-01-02T03:04:05+00:00",
        },
    )
    (folder / "log.txt").write_text(log)


def write_curve(directory: RunDirectory, spec: RunSpec, final: float) -> None:
    """Falls from ln 256 to `final` like a power of the step; noise from the spec, so two writings are equal."""
    generator = np.random.default_rng(spec.scale.depth)
    file = MetricsFile(directory.metrics_path)
    steps = spec.optim.steps
    for step in range(5, steps + 1, 5):
        mean = final + (np.log(256) - final) * (1 - np.log(step) / np.log(steps)) ** 1.5
        row: dict[str, float] = {"train_step": step, "tokens": step * spec.optim.batch_tokens}
        row |= {
            "train_loss": float(mean + 0.03 * generator.standard_normal()),
            "learning_rate": 1e-3,
            "gradient_norm": 0.5,
        }
        if step % (steps // 10) < 5 or step == steps:
            row["validation_loss"] = float(mean)
        file.append(row)
    file.close()


def write_study(root: Path) -> list[RunDirectory]:
    """Two architectures at four scales, all finished."""
    return [write_run(root, spec_of(name, depth)) for name in LAW for depth in DEPTHS]


def write_troubled_study(root: Path) -> list[RunDirectory]:
    """As `write_study`, and one run each that diverged, failed with hostile text, and was never started."""
    directories = write_study(root)
    directories.append(write_diverged(root, spec_of("transformer_pp", 24)))
    directories.append(write_failed(root, spec_of("sambay", 24)))
    directories.append(write_spec(root, spec_of("sambay", 28)))
    return directories


def strict_json(text: str) -> dict:
    """Parse, refusing the NaN and Infinity tokens that Python's json accepts."""

    def refuse(token: str) -> float:
        raise ValueError(f"{token} is not JSON")

    return json.loads(text, parse_constant=refuse)
