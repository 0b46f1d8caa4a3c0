"""`archscale bench memory`: the peak of a training step, against what the memory model predicts (scaling/memory.py).

measured    the most that torch holds at once during a whole step, the second one: forward, backward, clipping and AdamW
            on random tokens; parameters and moments, which are there before it, included
predicted   `TrainingMemory.peak` of the same run
resident    how far the peak of a process of its own, which builds the same model and does two steps, lies above what it
            took before: beside tensors this has the working space of libraries, and what the allocator does not return

At the size `activations` they are most of the peak, at `vocabulary` the logits, at `parameters` weights and moments.
"""

import multiprocessing
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch.profiler import ProfilerActivity, profile

from archscale.compose import groups, load_spec
from archscale.model.initialize import initialize
from archscale.model.lm import LanguageModel
from archscale.ops.segments import Segments
from archscale.registry import UserError
from archscale.scaling.memory import training_memory
from archscale.spec import RunSpec
from archscale.train.optim import build_optimizer


@dataclass(frozen=True, kw_only=True)
class Size:
    """Depth 8; windows of 128 tokens at most."""

    width: int
    heads: int
    head_dim: int
    vocabulary: int
    length: int
    sequences: int


SIZES = {
    "activations": Size(width=192, heads=8, head_dim=24, vocabulary=256, length=512, sequences=4),
    "vocabulary": Size(width=128, heads=8, head_dim=16, vocabulary=32_000, length=256, sequences=2),
    "parameters": Size(width=512, heads=8, head_dim=72, vocabulary=256, length=128, sequences=1),
}


@dataclass(frozen=True, kw_only=True)
class MemoryRow:
    arch: str
    size: str
    parameters: int
    recompute: bool
    predicted_bytes: int
    measured_bytes: int
    resident_bytes: int | None

    @property
    def error(self) -> float:
        """Of the prediction, as a fraction of what was measured."""
        return self.predicted_bytes / self.measured_bytes - 1


def bench_memory(names: Sequence[str] | None, *, resident: bool = False) -> list[MemoryRow]:
    """Rows for every size, without recomputation and with it; all packaged architectures without `names`.

    Raises:
        UserError: for an unknown architecture, or resident memory where there is no /proc.
    """
    rows = []
    for name in names or groups()["arch"]:
        for label in SIZES:
            for recompute in (False, True):
                spec = spec_of(name, SIZES[label], recompute=recompute)
                predicted = training_memory(spec, device="cpu")
                rows.append(
                    MemoryRow(
                        arch=name,
                        size=label,
                        parameters=predicted.parameters // 4,
                        recompute=recompute,
                        predicted_bytes=predicted.peak,
                        measured_bytes=measured_peak_bytes(spec),
                        resident_bytes=resident_peak_bytes(spec) if resident else None,
                    )
                )
    return rows


def spec_of(name: str, size: Size, *, recompute: bool) -> RunSpec:
    shape = f"scale.width={size.width} scale.num_heads={size.heads} scale.head_dim={size.head_dim} scale.depth=8"
    data = f"data.sequence_length={size.length} scale.batch_tokens={size.length * size.sequences}"
    choice = f"arch={name} arch.window={min(128, size.length)} execution.device=cpu execution.recompute={recompute}"
    spec = load_spec(f"{choice} {shape} {data}".split())
    return replace(spec, data=replace(spec.data, vocab_size=size.vocabulary))


def measured_peak_bytes(spec: RunSpec) -> int:
    """Of one step of the whole global batch on a CPU, in as many micro-batches as the run has."""
    training = _Training(spec)
    training.step()
    training.optimizer.zero_grad(set_to_none=True)
    before = [*training.model.parameters()]
    before += [value for state in training.optimizer.state.values() for value in state.values()]
    held = highest = sum(tensor.numel() * tensor.element_size() for tensor in before)
    with _quiet(), profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiled:
        training.step()
    for event in profiled.profiler.kineto_results.events():
        if event.name() == "[memory]":
            held += event.nbytes()
            highest = max(highest, held)
    return highest


def resident_peak_bytes(spec: RunSpec) -> int:
    """
    Raises:
        UserError: where there is no /proc.
    """
    if not Path("/proc/self/status").exists():
        raise UserError("resident memory is read from /proc/self/status, which is not there: leave out --resident")
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_resident_growth, (spec,))


def _resident_growth(spec: RunSpec) -> int:
    # A first small step brings in what libraries load at first use.
    small = replace(
        spec,
        arch=replace(spec.arch, window=16),
        scale=replace(spec.scale, width=16, head_dim=2),
        data=replace(spec.data, vocab_size=16, sequence_length=128, validation_tokens=128),
        optim=replace(spec.optim, batch_tokens=128),
    )
    _Training(small).step()
    Path("/proc/self/clear_refs").write_text("5")
    before = _status_bytes("VmRSS")
    training = _Training(spec)
    for _ in range(2):
        training.step()
    return _status_bytes("VmHWM") - before


def _status_bytes(name: str) -> int:
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(lines[name].split()[0]) * 1024


class _Training:
    """Steps as those of train/loop.py, on random tokens, and with documents of half a sequence where they count."""

    def __init__(self, spec: RunSpec) -> None:
        self.spec = spec
        self.model = LanguageModel(spec)
        initialize(self.model, spec)
        self.optimizer = build_optimizer(self.model, spec)

    def step(self) -> None:
        spec, length, batch = self.spec, self.spec.data.sequence_length, self.spec.batch_sequences
        micro = spec.execution.micro_batch_sequences or batch
        self.optimizer.zero_grad(set_to_none=True)
        for first in range(0, batch, micro):
            shape = min(micro, batch - first), length
            inputs_BT, targets_BT = (torch.randint(0, spec.data.vocab_size, shape) for _ in range(2))
            halves = [length // 2, length - length // 2]
            segments = Segments.of_lengths([halves] * shape[0]) if spec.data.separate_documents else None
            with torch.autocast("cpu", torch.bfloat16, enabled=spec.precision == "bfloat16"):
                loss = self.model.loss(inputs_BT, targets_BT, segments)
            loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), spec.optim.grad_clip)
        self.optimizer.step()


@contextmanager
def _quiet() -> Iterator[None]:
    """The profiler's library writes its starts and stops to the error stream, below Python."""
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
