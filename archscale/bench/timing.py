"""Times of several jobs that take turns, so that a slow moment of the machine hits all of them alike."""

import time
from collections.abc import Callable, Mapping
from statistics import median

import torch


def alternate(jobs: Mapping[str, Callable[[], object]], *, rounds: int, device: torch.device) -> dict[str, float]:
    """Median seconds of each job over `rounds`, after one round that is not counted."""
    seconds: dict[str, list[float]] = {name: [] for name in jobs}
    for number in range(rounds + 1):
        for name, job in jobs.items():
            started = _now(device)
            job()
            if number:
                seconds[name].append(_now(device) - started)
    return {name: median(values) for name, values in seconds.items()}


def _now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()
