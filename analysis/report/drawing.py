"""The figures for print, drawn by two processes: a copy of this one, and this one once it has written the page.

    start ─┬─ copy ─▶ figures 1, 2, 4 …    each takes the next figure that neither has begun
           └─ page ─▶ figures 3, 5 …       finish: what the copy did not report is drawn here

A figure that fails in the copy fails again here, and so raises where it can be caught. A copy is a fork, which is safe
only on Linux and without other threads; elsewhere, and on one core, this process draws all figures.
"""

import multiprocessing
import os
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path

from analysis.report.printing import Drawers, write_figures

Files = dict[str, list[Path]]


@dataclass(frozen=True, kw_only=True)
class Drawing:
    """`take` gives the place of the next figure that nobody has begun; `copy` and `reports` are None without a copy."""

    drawers: Drawers
    folder: Path
    take: Callable[[], int]
    copy: BaseProcess | None
    reports: Connection | None

    @classmethod
    def start(cls, drawers: Drawers, folder: Path, *, copy: bool | None = None) -> "Drawing":
        """Begin to draw into `folder`; `copy` says whether beside this process, by default where that is safe."""
        context = multiprocessing.get_context("fork") if (_can_fork() if copy is None else copy) else None
        if context is None:
            turns = iter(range(len(drawers) + 1))
            return cls(drawers=drawers, folder=folder, take=lambda: next(turns), copy=None, reports=None)
        turn = context.Value("i", 0)

        def take() -> int:
            with turn.get_lock():
                place, turn.value = turn.value, turn.value + 1
            return place

        reports, sender = context.Pipe(duplex=False)
        process = context.Process(target=_draw_and_report, args=(drawers, folder, take, sender), daemon=True)
        process.start()
        sender.close()
        return cls(drawers=drawers, folder=folder, take=take, copy=process, reports=reports)

    def finish(self) -> Files:
        """Figure name → its files, in the order of the drawers, of every figure that there is something to draw for.

        Raises:
            Exception: what a drawer raises.
        """
        names = list(self.drawers)
        drawn: dict[str, list[Path] | None] = {}
        while (place := self.take()) < len(names):
            drawn[names[place]] = _draw(self.drawers, names[place], self.folder)
        if self.copy is not None and self.reports is not None:
            with suppress(EOFError):
                while True:
                    name, files = self.reports.recv()
                    drawn[name] = files
            self.reports.close()
            self.copy.join()
        for name in names:
            if name not in drawn:
                drawn[name] = _draw(self.drawers, name, self.folder)
        return {name: files for name in names if (files := drawn[name]) is not None}


def _can_fork() -> bool:
    if not sys.platform.startswith("linux"):
        return False
    return threading.active_count() == 1 and len(os.sched_getaffinity(0)) > 1


def _draw_and_report(drawers: Drawers, folder: Path, take: Callable[[], int], sender: Connection) -> None:
    names = list(drawers)
    with suppress(Exception, KeyboardInterrupt):
        while (place := take()) < len(names):
            sender.send((names[place], _draw(drawers, names[place], folder)))
    sender.close()


def _draw(drawers: Drawers, name: str, folder: Path) -> list[Path] | None:
    return write_figures({name: drawers[name]}, folder).get(name)
