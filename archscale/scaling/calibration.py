"""Measured training speed, by machine, architecture and size: what `archscale bench train --calibration FILE` writes.

    FLOPs a second = tokens a second · training FLOPs a token, under the accounting `modules`

A file holds measurements of any number of machines; the same one again takes the place of the old. A CPU is its
threads: two threads and one thread of one processor are two devices, and neither tells the speed of the other.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any, Literal

from pydantic.dataclasses import dataclass

from archscale.identity import short_count
from archscale.registry import UserError
from archscale.runlog.files import read_json, write_json
from archscale.spec import STRICT, from_mapping, to_json

VERSION = 1


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Machine:
    """One device: a GPU, or that many threads of a processor (`threads` is None on a GPU)."""

    device: Literal["cpu", "cuda"]
    name: str
    threads: int | None
    precision: Literal["float32", "bfloat16"]

    def __str__(self) -> str:
        threads = "" if self.threads is None else f", {self.threads} thread{'' if self.threads == 1 else 's'}"
        return f"{self.name}{threads}, {self.precision}"


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Measurement:
    """Training steps of one model: forward, backward and optimizer, on random tokens; no data, no evaluation.

    `date` is that of the measurement, YYYY-MM-DD; FLOPs are those of the accounting `modules`.
    """

    machine: Machine
    torch: str
    date: str
    arch: str
    non_embedding_parameters: int
    width: int
    depth: int
    heads: int
    head_dim: int
    vocab_size: int
    sequence_length: int
    sequences: int
    window: int
    tokens_per_second: float
    flops_per_second: float

    @property
    def key(self) -> tuple[Any, ...]:
        """What two measurements of the same thing have in common."""
        measured = ("torch", "date", "tokens_per_second", "flops_per_second")
        return tuple(value for name, value in vars(self).items() if name not in measured)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Calibration:
    """`measurements` from the oldest to the newest."""

    version: int = VERSION
    measurements: tuple[Measurement, ...] = ()

    def __post_init__(self) -> None:
        for found in self.measurements:
            if not min(found.flops_per_second, found.tokens_per_second, found.non_embedding_parameters) > 0:
                raise ValueError(f"a measurement of {found.arch} has a speed or a size that is not positive")

    def flops_per_second(
        self,
        arch: str,
        non_embedding_parameters: float,
        *,
        device: str = "auto",
        threads: int | None = None,
        precision: str | None = None,
    ) -> tuple[float, str]:
        """The speed to expect of one device, and a sentence on where it is from.

        Of the machines measured, the one that is most like what is asked for, and of equal ones the newest; on it the
        nearest size of the architecture, else the median over the others at their nearest sizes.

        Raises:
            UserError: where no machine of that kind has been measured.
        """
        machine = self._machine(device, threads, precision)
        here = [found for found in self.measurements if found.machine == machine]
        nearest = {
            name: min((m for m in here if m.arch == name), key=lambda m: _distance(m, non_embedding_parameters))
            for name in dict.fromkeys(m.arch for m in here)
        }
        asked = short_count(non_embedding_parameters)
        if arch in nearest:
            found = nearest[arch]
            size = short_count(found.non_embedding_parameters)
            speed, what = found.flops_per_second, f"{arch} of {size} parameters (here {asked})"
        else:
            speed = median(m.flops_per_second for m in nearest.values())
            what = f"median of {len(nearest)} architectures near {asked} parameters, {arch} not among them"
        return speed, f"measured on {machine}: {what}{_difference(machine, threads, precision)}"

    def _machine(self, device: str, threads: int | None, precision: str | None) -> Machine:
        """
        Raises:
            UserError: where there is none of that device.
        """
        machines = [found.machine for found in self.measurements]
        fitting = [machine for machine in machines if device in ("auto", machine.device)]
        if not fitting:
            known = "; ".join(dict.fromkeys(map(str, machines))) or "nothing"
            raise UserError(
                f"calibration has no {device} device, but {known}: run "
                f"`archscale bench train --device {device} --calibration FILE` on one"
            )
        # The newest is last, and max would take the first of equals.
        return max(reversed(fitting), key=lambda m: (threads in (None, m.threads), precision in (None, m.precision)))


def load_calibration(path: str | Path) -> Calibration:
    """
    Raises:
        UserError: for a file that is missing, damaged, of another version, or empty.
    """
    found = read_calibration(path)
    if found is None:
        raise UserError(f"{path}: no such calibration; write it with `archscale bench train --calibration {path}`")
    if not found.measurements:
        raise UserError(f"{path} holds no measurements: add some with `archscale bench train --calibration {path}`")
    return found


def read_calibration(path: str | Path) -> Calibration | None:
    """None where there is no file; one without measurements is a calibration that will get some.

    Raises:
        UserError: for what is no file, or is one that is damaged, or of another version.
    """
    try:
        values = read_json(Path(path))
    except OSError as error:
        raise UserError(
            f"calibration {Path(path)} cannot be read ({error.strerror}): name a file, as "
            "`archscale bench train --calibration FILE` writes it"
        ) from None
    if values is None:
        return None
    if values.get("version") != VERSION:
        raise UserError(
            f"{path} is no calibration of version {VERSION}, but of {values.get('version')}: measure again into "
            "another file, `archscale bench train --calibration FILE`"
        )
    return from_mapping(Calibration, values, where=str(path))


def add_measurements(path: str | Path, measurements: Sequence[Measurement]) -> Calibration:
    """What the file holds now; made where there is none.

    Raises:
        UserError: for a file that is there and is no calibration.
    """
    path = Path(path)
    known = read_calibration(path) or Calibration()
    kept = {found.key: found for found in known.measurements}
    for found in measurements:
        # Out of its old place, so that the newest stay last.
        kept.pop(found.key, None)
        kept[found.key] = found
    calibration = Calibration(measurements=tuple(kept.values()))
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, to_json(calibration))
    return calibration


def _distance(found: Measurement, parameters: float) -> float:
    return abs(math.log(found.non_embedding_parameters / parameters))


def _difference(machine: Machine, threads: int | None, precision: str | None) -> str:
    """What the run will have other than the machine, in words."""
    wanted = []
    if threads is not None and machine.threads not in (None, threads):
        wanted.append(f"{threads} thread{'' if threads == 1 else 's'}")
    if precision not in (None, machine.precision):
        wanted.append(precision)
    return f"; the run has {' and '.join(filter(None, wanted))}" if wanted else ""
