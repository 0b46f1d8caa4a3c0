"""What the terminal shows of a study: live bars while it runs, tables of its state and of its plan.

On a terminal one bar a run; where output goes to a file, one line whenever a run changes its state.
"""

from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn
from rich.table import Table
from rich.text import Text

from archscale.identity import short_count
from archscale.launch.state import RunState, counts
from archscale.runlog.directory import RunDirectory, State
from archscale.study import Cell

STATE_STYLE: dict[State, str] = {
    "pending": "dim",
    "running": "cyan",
    "interrupted": "yellow",
    "finished": "green",
    "diverged": "magenta",
    "failed": "bold red",
}


class TimeLeft(ProgressColumn):
    """From training speed alone: steps left × tokens a step / tokens a second."""

    def render(self, task: Task) -> Text:
        seconds = task.fields["seconds_left"]
        return Text("" if seconds is None else str(timedelta(seconds=round(seconds))), style="progress.remaining")


class LiveDisplay:
    """A context manager whose `watch` shows the states of a sweep's runs."""

    def __init__(self, cells: Sequence[Cell], console: Console) -> None:
        self.console = console
        self.cells = {cell.run_id: cell for cell in cells}
        self.shown: dict[str, State] = {}
        self.progress = Progress(
            TextColumn("{task.fields[label]}"),
            BarColumn(bar_width=None),
            TextColumn("{task.percentage:>3.0f}%"),
            TextColumn("{task.fields[loss]:>6}"),
            TextColumn("{task.fields[speed]:>8}"),
            TimeLeft(),
            TextColumn("{task.fields[state]}"),
            console=console,
            expand=True,
            refresh_per_second=4,
        )
        labels = cell_labels(cells)
        self.tasks = {
            cell.run_id: self.progress.add_task(
                "",
                total=cell.spec.optim.steps,
                label=labels[cell.run_id],
                loss="",
                speed="",
                seconds_left=None,
                state="",
            )
            for cell in cells
        }

    def __enter__(self) -> Self:
        if self.console.is_terminal:
            self.progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.console.is_terminal:
            self.progress.stop()

    def watch(self, states: list[RunState]) -> None:
        for state in states:
            if self.console.is_terminal:
                self._update(state)
            elif self.shown.get(state.run_id) != state.state and state.state != "pending":
                self.console.print(f"{state.run_id}: {state.state}{_loss_of(state)}", highlight=False)
            self.shown[state.run_id] = state.state

    def _update(self, state: RunState) -> None:
        loss = state.validation_loss if state.validation_loss is not None else state.train_loss
        left = None
        if state.state == "running" and state.tokens_per_second:
            tokens = (state.steps - state.step) * self.cells[state.run_id].spec.optim.batch_tokens
            left = tokens / state.tokens_per_second
        self.progress.update(
            self.tasks[state.run_id],
            completed=state.step,
            loss="" if loss is None else f"{loss:.3f}",
            speed=f"{short_count(state.tokens_per_second)}/s" if state.tokens_per_second else "",
            seconds_left=left,
            state=f"[{STATE_STYLE[state.state]}]{state.state}",
        )


def cell_labels(cells: Sequence[Cell]) -> dict[str, str]:
    """Short names: architecture, depth, width, and where these do not tell runs apart what was set for each."""
    short = {cell.run_id: f"{cell.spec.arch.name} d{cell.spec.scale.depth} w{cell.spec.scale.width}" for cell in cells}
    shared = {label for label, number in Counter(short.values()).items() if number > 1}
    settings = {cell.run_id: [_last_part(text) for text in cell.overrides] for cell in cells}
    common = set.intersection(*map(set, settings.values())) if settings else set()
    return {
        identity: " ".join(
            [label, *(text for text in settings[identity] if text not in common and "arch=" not in text)]
        )
        if label in shared
        else label
        for identity, label in short.items()
    }


def _last_part(override: str) -> str:
    """scale.base.learning_rate=0.01 → learning_rate=0.01"""
    key, _, value = override.partition("=")
    return f"{key.rpartition('.')[2]}={value}"


def status_table(cells: Sequence[Cell], states: Sequence[RunState], title: str) -> Table:
    """One row a run, in 80 columns: name, hash, state, progress, loss in nats per token, speed, attempts."""
    table = Table(
        title=f"{title}: {counts(list(states))}",
        title_justify="left",
        caption="loss: of the last batch while a run trains, on the validation set once it has finished",
        caption_justify="left",
        box=None,
        pad_edge=False,
    )
    for heading in ("run", "id", "state"):
        table.add_column(heading, no_wrap=True)
    for heading in ("step", "loss", "tok/s", "tries"):
        table.add_column(heading, justify="right", no_wrap=True)
    labels = cell_labels(cells)
    for state in states:
        loss = state.validation_loss if state.validation_loss is not None else state.train_loss
        table.add_row(
            labels[state.run_id],
            state.run_id.rpartition("-")[2],
            Text(state.state, style=STATE_STYLE[state.state]),
            f"{state.step}/{state.steps}",
            "" if loss is None else f"{loss:.4f}",
            "" if state.tokens_per_second is None else short_count(state.tokens_per_second),
            str(state.attempts) if state.attempts else "",
        )
    return table


def failures(states: Sequence[RunState], root: Path, *, last_lines: int = 5) -> list[str]:
    """For every run that failed, or never got as far as an attempt: what went wrong, its last lines, what to do."""
    lines = []
    for state in states:
        if state.state == "failed":
            lines.append(f"{state.run_id} failed ({state.failure}): {state.message}")
        elif state.state in ("pending", "interrupted"):
            lines.append(f"{state.run_id} is {state.state}: {state.message or 'its process ended without a verdict'}")
        else:
            continue
        log = RunDirectory(root / state.run_id).log_path()
        if log is not None:
            lines += [f"    {line}" for line in log.read_text(errors="replace").splitlines()[-last_lines:]]
    if any(state.state == "failed" for state in states):
        lines.append("`archscale logs RUN` shows more of a log; `archscale retry RUN|STUDY` runs failed runs again")
    return lines


def _loss_of(state: RunState) -> str:
    return "" if state.validation_loss is None else f", validation loss {state.validation_loss:.4f} nats per token"
