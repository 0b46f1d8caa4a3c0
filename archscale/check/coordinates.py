"""`archscale check coordinates`: do activations and their updates keep their size along a ladder of widths and depths?

    width    the widths given, at the smallest depth        heads · head size = width, as in the paper to a few percent
    depth    the depths given, at the smallest width        the base model is the smallest in both

Yang et al. 2022 (arXiv 2203.03466), appendix D.1, applied to the rules of Ren et al. 2025 (arXiv 2507.06607), Table 6.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import isfinite

import torch

from archscale.check.probe import Probe, probe
from archscale.check.slopes import Axis, Part, Quantity, parts, quantities
from archscale.compose import groups, load_config
from archscale.parametrizations import of_run
from archscale.registry import UserError, unknown
from archscale.scaling.heads import heads_of
from archscale.spec import DataSpec, OptimSpec, RunSpec, ScaleSpec

AXES: tuple[Axis, ...] = ("width", "depth")
VOCABULARY = 256


def axis_named(name: str) -> Axis:
    """
    Raises:
        UserError: for anything but an axis.
    """
    found: Axis | None = next((axis for axis in AXES if axis == name), None)
    if found is None:
        raise unknown("axis", name, AXES)
    return found


@dataclass(frozen=True, kw_only=True)
class CheckSettings:
    """One batch of random tokens. `learning_rate` is that of the base, `tolerance` the largest slope called flat."""

    widths: tuple[int, ...] = (64, 128, 256)
    depths: tuple[int, ...] = (8, 16, 32)
    axes: tuple[Axis, ...] = AXES
    steps: int = 4
    seeds: int = 2
    learning_rate: float = 2e-3
    tolerance: float = 0.25
    head_dim: int = 8
    sequence_length: int = 32
    sequences: int = 2
    parameters: bool = True

    def __post_init__(self) -> None:
        for name, ladder, example in (("widths", self.widths, "64,128,256"), ("depths", self.depths, "8,16,32")):
            axis = name.removesuffix("s")
            if not ladder or (axis in self.axes and len(set(ladder)) < 2):
                shown = ",".join(map(str, ladder)) or "nothing"
                raise UserError(f"--{name} {shown}: a slope needs at least two {name}, e.g. {example}")
        for width in self.widths:
            if width < 1 or width % self.width_multiple:
                raise UserError(
                    f"--widths {width}: sizes stay in proportion at multiples of {self.width_multiple}, "
                    f"use e.g. {self.width_multiple},{2 * self.width_multiple},{4 * self.width_multiple}"
                )
        for depth in self.depths:
            if depth < 8 or depth % 4:
                raise UserError(f"--depths {depth}: depths are divisible by 4 and at least 8, use e.g. 8,16,32")
        for name in ("steps", "seeds"):
            if getattr(self, name) < 1:
                raise UserError(f"--{name} {getattr(self, name)}: use at least 1")
        for name in ("learning_rate", "tolerance"):
            value = getattr(self, name)
            if not (isfinite(value) and value > 0):
                raise UserError(f"--{name.replace('_', '-')} {value}: it must be a positive number")

    @property
    def width_multiple(self) -> int:
        """Where heads of every mixer, and groups of them, divide the width without a remainder."""
        return 8 * self.head_dim

    @property
    def base(self) -> tuple[int, int]:
        """Width and depth."""
        return min(self.widths), min(self.depths)

    def ladder(self, axis: Axis) -> tuple[int, ...]:
        return tuple(sorted(set(self.widths if axis == "width" else self.depths)))

    def shapes(self, axis: Axis) -> list[tuple[int, int]]:
        width, depth = self.base
        return [(size, depth) if axis == "width" else (width, size) for size in self.ladder(axis)]


@dataclass(frozen=True, kw_only=True)
class Check:
    """One architecture under one parametrization along one axis."""

    arch: str
    parametrization: str
    axis: Axis
    ladder: tuple[int, ...]
    quantities: tuple[Quantity, ...]
    parts: tuple[Part, ...]
    tolerance: float

    @property
    def worst(self) -> Quantity:
        return max((quantity for quantity in self.quantities if quantity.counts), key=lambda quantity: quantity.excess)

    @property
    def flat(self) -> bool:
        return self.worst.excess <= self.tolerance

    def of(self, name: str, measure: str) -> Quantity:
        return next(q for q in self.quantities if (q.name, q.measure) == (name, measure))


@dataclass(frozen=True, kw_only=True)
class CheckReport:
    settings: CheckSettings
    checks: tuple[Check, ...]

    @property
    def flat(self) -> bool:
        return all(check.flat for check in self.checks)


def check_coordinates(
    archs: Sequence[str] | None,
    parametrizations: Sequence[str],
    settings: CheckSettings,
    *,
    on_probe: Callable[[str, int, int], None] = lambda text, done, total: None,
) -> CheckReport:
    """All packaged architectures without `archs`; `on_probe` hears of each model before it is trained.

    Raises:
        UserError: for an unknown name.
    """
    available = groups()
    archs = list(archs or available["arch"])
    for kind, names in (("arch", archs), ("parametrization", parametrizations)):
        for name in names:
            if name not in available[kind]:
                raise unknown(kind, name, available[kind], hint=f"See `archscale list {kind}`.")
    torch.set_num_threads(1)
    shapes = sorted({shape for axis in settings.axes for shape in settings.shapes(axis)})
    total, done, checks = len(archs) * len(parametrizations) * len(shapes) * settings.seeds, 0, []
    for arch in archs:
        for name in parametrizations:
            probes: dict[tuple[int, int], list[Probe]] = {shape: [] for shape in shapes}
            rates: dict[tuple[int, int], float] = {}
            for shape in shapes:
                for seed in range(settings.seeds):
                    on_probe(f"{arch} {name} width {shape[0]} depth {shape[1]}", done, total)
                    spec = run_spec(arch, name, *shape, settings, seed)
                    rates[shape] = spec.optim.learning_rate
                    probes[shape].append(probe(spec, batch(settings, seed), parts=settings.parameters))
                    done += 1
            for axis in settings.axes:
                ladder, rungs = settings.ladder(axis), [probes[shape] for shape in settings.shapes(axis)]
                checks.append(
                    Check(
                        arch=arch,
                        parametrization=name,
                        axis=axis,
                        ladder=ladder,
                        quantities=quantities(axis, ladder, rungs),
                        parts=parts(ladder, rungs, [rates[shape] for shape in settings.shapes(axis)]),
                        tolerance=settings.tolerance,
                    )
                )
    return CheckReport(settings=settings, checks=tuple(checks))


def batch(settings: CheckSettings, seed: int) -> torch.Tensor:
    """Random tokens of shape (B, T + 1), the same for every model of a seed."""
    generator = torch.Generator().manual_seed(seed)
    shape = (settings.sequences, settings.sequence_length + 1)
    return torch.randint(0, VOCABULARY, shape, generator=generator)


def run_spec(arch: str, parametrization: str, width: int, depth: int, settings: CheckSettings, seed: int) -> RunSpec:
    config = load_config([f"arch={arch}", f"parametrization={parametrization}"])
    length, (base_width, base_depth) = settings.sequence_length, settings.base
    heads = heads_of(config.arch, depth, num_heads=width // settings.head_dim)
    spec = RunSpec(
        arch=replace(config.arch, window=min(config.arch.window, length // 2)),
        scale=ScaleSpec(
            depth=depth,
            width=width,
            head_dim=settings.head_dim,
            num_heads=heads.query,
            num_kv_heads=heads.key_value,
            base_depth=base_depth,
            base_width=float(base_width),
        ),
        parametrization=config.parametrization,
        data=DataSpec(
            source="random_tokens",
            content_hash="",
            vocab_size=VOCABULARY,
            sequence_length=length,
            validation_tokens=length,
        ),
        # Weight decay is off: it would change sizes without anything being learnt.
        optim=OptimSpec(
            learning_rate=settings.learning_rate,
            batch_tokens=settings.sequences * length,
            steps=settings.steps,
            warmup_steps=0,
            schedule="constant",
            weight_decay=0.0,
        ),
        seed=seed,
    )
    rules, at, base = of_run(spec)
    rate = rules.learning_rate(settings.learning_rate, at=at, base=base, batch_ratio=1.0, token_ratio=1.0)
    return replace(spec, optim=replace(spec.optim, learning_rate=rate))
