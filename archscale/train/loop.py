"""train(): one run from its spec, resumed exactly where its checkpoint stands."""

import math
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import torch

from archscale.runlog.directory import Result
from archscale.runlog.progress import Progress
from archscale.scaling.count import count_parameters
from archscale.scaling.flops import training_flops
from archscale.train.checkpoint import Position, load_checkpoint, save_checkpoint
from archscale.train.evaluate import evaluation_steps, validation_loss
from archscale.train.optim import set_learning_rate
from archscale.train.setup import Workbench

Row = Mapping[str, float | int]


def train(
    bench: Workbench,
    checkpoint: Path,
    *,
    log: Callable[[Row], None],
    should_stop: Callable[[], bool],
    progress: Progress,
    keep: Callable[[Position], None] = lambda position: None,
) -> Result | None:
    """Train to the end, or until `should_stop()`: then a checkpoint is saved and None is returned.

    `keep` is called after every step that did not diverge, before a checkpoint: it may save the state for other runs.
    A non-finite loss or gradient ends the run with the verdict "diverged": it is a datum, not an error.
    """
    spec, optim = bench.spec, bench.spec.optim
    position = load_checkpoint(checkpoint, bench.model, bench.optimizer)
    evaluate_after = evaluation_steps(optim.steps, spec.execution.evaluations)
    progress.step, progress.steps = position.step, optim.steps
    validation: float | None = None
    saved_at = time.monotonic()
    while position.step < optim.steps:
        started = time.perf_counter()
        rate = set_learning_rate(bench.optimizer, spec, position.step)
        loss, gradient_norm = train_step(bench, position.step)
        position = position.after(loss, seconds=time.perf_counter() - started)
        progress.step, progress.train_loss = position.step, loss
        progress.tokens_per_second = position.step * optim.batch_tokens / position.train_seconds
        row: dict[str, float | int] = {"train_step": position.step, "tokens": position.step * optim.batch_tokens}
        losses = {"train_loss": loss, "learning_rate": rate, "gradient_norm": gradient_norm}
        if not (math.isfinite(loss) and math.isfinite(gradient_norm)):
            log(row | losses)
            return summarize(bench, position, None)
        if position.step in evaluate_after:
            validation = validation_loss(bench)
            log(row | losses | {"validation_loss": validation})
        elif position.step % spec.execution.log_steps == 0:
            log(row | losses)
        keep(position)
        stopping = should_stop()
        if stopping or time.monotonic() - saved_at >= spec.execution.checkpoint_seconds:
            save_checkpoint(checkpoint, bench.model, bench.optimizer, position)
            saved_at = time.monotonic()
        if stopping:
            return None
    return summarize(bench, position, validation if validation is not None else validation_loss(bench))


def train_step(bench: Workbench, step: int) -> tuple[float, float]:
    """One optimizer step; returns the batch's mean loss in nats per token and the gradient norm before clipping."""
    sequences, smoothing, total = bench.spec.batch_sequences, bench.spec.optim.label_smoothing, 0.0
    bench.optimizer.zero_grad(set_to_none=True)
    for first in range(0, sequences, bench.micro_sequences):
        rows = slice(first, min(first + bench.micro_sequences, sequences))
        inputs, targets = bench.sampler.batch(step, rows)
        loss = bench.loss(inputs, targets, label_smoothing=smoothing) * (len(inputs) / sequences)
        loss.backward()
        total += loss.item()
    norm = torch.nn.utils.clip_grad_norm_(bench.model.parameters(), bench.spec.optim.grad_clip)
    bench.optimizer.step()
    return total, norm.item()


def summarize(bench: Workbench, position: Position, validation: float | None) -> Result:
    """What the run measured; a run without a validation loss has diverged."""
    spec = bench.spec
    count = count_parameters(spec.arch, spec.scale, spec.data.vocab_size)
    tokens = position.step * spec.optim.batch_tokens
    diverged = validation is None or not math.isfinite(validation)
    return Result(
        verdict="diverged" if diverged else "finished",
        validation_loss=None if diverged else validation,
        train_loss=position.train_loss if math.isfinite(position.train_loss) else None,
        steps=position.step,
        tokens=tokens,
        parameters=count.total,
        non_embedding_parameters=count.non_embedding,
        train_flops=training_flops(spec, tokens),
        flops_accounting=spec.flops_accounting.value,
        unigram_entropy=bench.corpus.manifest.unigram_entropy,
        train_seconds=position.train_seconds,
        tokens_per_second=tokens / position.train_seconds,
    )
