"""The orchestrator: brings a list of cells to their verdicts, and can be killed and started again at any moment.

    loop:  observe every run  →  start what is missing while slots are free  →  tell the watcher  →  until nothing moves

All state is in the run directories. A run that another process holds is watched, not started; one whose process was
killed goes on from its checkpoint; a failure of class "bug" stays failed until `archscale retry`. A run that branches
off another one (archscale/trunks.py) waits for that one's state as long as it can still come.
"""

import json
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from archscale.data.corpus import open_corpus
from archscale.launch.claim import HELD_BY_ANOTHER, holder
from archscale.launch.executor import Executor, Job
from archscale.launch.state import RunState, observe_cells
from archscale.runlog.directory import RunDirectory
from archscale.spec import to_json
from archscale.study import Cell
from archscale.trunks import branch_file, trunk_members

Watcher = Callable[[list[RunState]], None]


@dataclass(kw_only=True)
class Orchestrator:
    """`restarts`: how often, in one sweep, a run is started again after its process died or ran out of memory.

    `carriers`: by run id, the hash of its trunk and the runs that leave this trunk after it.
    """

    root: Path
    cells: Sequence[Cell]
    executor: Executor
    restarts: int = 3
    poll_seconds: float = 0.25
    jobs: dict[str, Job] = field(default_factory=dict)
    starts: Counter[str] = field(default_factory=Counter)
    carriers: dict[str, tuple[str, list[str]]] = field(default_factory=dict)

    def prepare(self) -> None:
        """Prepare the corpora, once instead of once a run, then freeze every spec.

        A run that is neither over nor held takes how it is carried out (device, threads, logging) from this sweep:
        what it computes is the same, since the identity is.
        """
        for data in {json.dumps(to_json(cell.spec.data)): cell.spec.data for cell in self.cells}.values():
            open_corpus(data, self.root)
        for trunk, members in trunk_members({cell.run_id: cell.spec for cell in self.cells}).items():
            for place, identity in enumerate(members[:-1]):
                self.carriers[identity] = (trunk, members[place + 1 :])
        for cell in self.cells:
            directory = RunDirectory(self.root / cell.run_id)
            if directory.exists() and directory.result() is None and holder(directory) is None:
                directory.refreeze(cell.spec)
            else:
                directory.create(cell.spec)

    def run(self, watch: Watcher) -> list[RunState]:
        """Until every cell has a verdict that this sweep will not change; returns the last observation."""
        self.prepare()
        while True:
            states = self.observe()
            watch(states)
            by_id = {state.run_id: state for state in states}
            ready = [state for state in states if self.should_start(state) and not self.waits(state, by_id)]
            startable = sorted(ready, key=self.cost, reverse=True)
            running = [state for state in states if state.run_id in self.jobs or state.holder is not None]
            busy = sum(state.holder is None or state.holder.shares_our_resources() for state in running)
            threads = max(cell.spec.execution.threads for cell in self.cells)
            for state in startable[: max(0, self.executor.slots(threads) - busy)]:
                self.start(state.run_id)
            if not startable and not running:
                return states
            time.sleep(self.poll_seconds)

    def observe(self) -> list[RunState]:
        """Reap the jobs that have ended, then read every run's files."""
        for identity, job in list(self.jobs.items()):
            status = job.exit_status()
            if status is not None:
                del self.jobs[identity]
            if status == HELD_BY_ANOTHER:  # another sweep was faster: that was no start of ours
                self.starts[identity] -= 1
        return observe_cells(self.cells, self.root)

    def should_start(self, state: RunState) -> bool:
        if state.run_id in self.jobs or self.starts[state.run_id] > self.restarts:
            return False
        if RunDirectory(self.root / state.run_id).cancelled():
            return False
        if state.state == "failed":
            return state.failure in ("out_of_memory", "infrastructure")
        return state.state in ("pending", "interrupted")

    def waits(self, state: RunState, states: Mapping[str, RunState]) -> bool:
        """Whether the first steps of this run are still on their way in another one.

        They do not come any more when every such run is over, or has passed the step without keeping its state: it
        was started by a sweep that did not know of this run.
        """
        if state.run_id not in self.carriers or RunDirectory(self.root / state.run_id).checkpoint_path.exists():
            return False
        trunk, carriers = self.carriers[state.run_id]
        step = self.cell(state.run_id).spec.optim.decay_start
        if step == 0 or any(branch_file(self.root / carrier, trunk, step).exists() for carrier in carriers):
            return False
        return any(states[carrier].step <= step and self.under_way(states[carrier]) for carrier in carriers)

    def under_way(self, state: RunState) -> bool:
        return state.run_id in self.jobs or state.holder is not None or self.should_start(state)

    def cost(self, state: RunState) -> int:
        """What is left of a run, up to a constant: the longest starts first, so that none is left alone at the end."""
        scale, optim = self.cell(state.run_id).spec.scale, self.cell(state.run_id).spec.optim
        return (optim.steps - state.step) * optim.batch_tokens * scale.depth * scale.width**2

    def cell(self, identity: str) -> Cell:
        return next(cell for cell in self.cells if cell.run_id == identity)

    def start(self, identity: str) -> None:
        cell = self.cell(identity)
        self.starts[identity] += 1
        self.jobs[identity] = self.executor.submit(self.root / identity, threads=cell.spec.execution.threads)

    def stop(self, watch: Watcher, *, patience_seconds: float = 30.0) -> list[RunState]:
        """Ask this sweep's runs for a checkpoint and wait for them; nothing is killed."""
        for job in self.jobs.values():
            job.stop()
        deadline = time.monotonic() + patience_seconds
        while True:
            states = self.observe()
            watch(states)
            if not self.jobs or time.monotonic() > deadline:
                return states
            time.sleep(self.poll_seconds)
