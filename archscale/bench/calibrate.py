"""`archscale bench train --calibration FILE`: training speed at one or several sizes, kept for plans.

The file is that of scaling/calibration.py. It grows after every size, so that an interruption loses one at most.
"""

import platform
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import torch

from archscale.bench.train import TrainReport, TrainSettings, bench_train, model_spec
from archscale.scaling.calibration import Machine, Measurement, add_measurements, read_calibration
from archscale.scaling.flops import flops_per_token
from archscale.spec import FlopsAccounting, from_mapping
from archscale.train.setup import choose_device

PROCESSORS = Path("/proc/cpuinfo")


def bench_sizes(
    names: Sequence[str] | None, settings: Sequence[TrainSettings], calibration: Path | None
) -> list[TrainReport]:
    """A report a size; their speeds are added to the file `calibration`, where there is one.

    Raises:
        UserError: as `bench_train`, and for a file that is no calibration, before anything is measured.
    """
    if calibration is not None:
        read_calibration(calibration)
    reports = []
    for one in settings:
        reports.append(bench_train(names, one))
        if calibration is not None:
            add_measurements(calibration, measurements(reports[-1]))
    return reports


def measurements(report: TrainReport) -> list[Measurement]:
    settings, machine = report.settings, machine_of(report)
    today = datetime.now(UTC).date().isoformat()
    found = []
    for row in report.rows:
        spec = model_spec(row.arch, settings)
        flops = flops_per_token(
            FlopsAccounting.MODULES, spec.arch, spec.scale, spec.vocab_size, settings.sequence_length
        )
        found.append(
            Measurement(
                machine=machine,
                torch=torch.__version__,
                date=today,
                arch=row.arch,
                non_embedding_parameters=row.parameters,
                width=row.width,
                depth=settings.depth,
                heads=settings.heads,
                head_dim=settings.head_dim,
                vocab_size=spec.vocab_size,
                sequence_length=settings.sequence_length,
                sequences=settings.sequences,
                window=settings.window,
                tokens_per_second=row.tokens_per_second,
                flops_per_second=row.tokens_per_second * flops,
            )
        )
    return found


def machine_of(report: TrainReport) -> Machine:
    settings = report.settings
    device = choose_device(settings.device)
    on_cpu = device.type == "cpu"
    name = processor_name() if on_cpu else torch.cuda.get_device_name(device)
    fields = {"device": device.type, "name": name, "threads": settings.threads if on_cpu else None}
    return from_mapping(Machine, fields | {"precision": settings.precision}, where="calibration")


def processor_name() -> str:
    """As the kernel calls it, where it says so."""
    text = PROCESSORS.read_text(errors="replace") if PROCESSORS.exists() else ""
    model = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    return model[1].strip() if model else platform.processor() or platform.machine()
