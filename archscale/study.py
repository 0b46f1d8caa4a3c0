"""A study: one YAML file that says which runs answer which question.

    title: …            question: …
    overrides: [scale=cpu, …]            # hold for every cell
    product: {arch: [a, b], …}           # every combination
    zip: {scale.depth: [8, 12], …}       # lists of one length, walked together
    fit: {law, x, y, group, level}       # or evaluate: {x, y, group, baseline}, or transfer: {x, y, along, group}
    budget: {device_hours, cost, wall_clock_hours}

Cells are product × zip, in the order of the file. The file is the desired state: what is missing is run, what is there
is not run again, and extending a list adds just the new cells.
"""

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import field, replace
from pathlib import Path
from typing import Any

import yaml
from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic.dataclasses import dataclass

from archscale.compose import (
    Composer,
    HydraText,
    RunConfig,
    Setting,
    parse_overrides,
    plain_setting,
    resolve,
    settings_of,
)
from archscale.identity import run_id
from archscale.paths import packaged
from archscale.registry import UserError, unknown
from archscale.spec import (
    STRICT,
    Budget,
    EvaluateSettings,
    FitSettings,
    RunSpec,
    TransferSettings,
    check_name,
    from_mapping,
)
from archscale.trunks import steps_to_keep


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Study:
    name: str
    title: str = ""
    question: str = ""
    overrides: tuple[str, ...] = ()
    product: dict[str, list[Any]] = field(default_factory=dict)
    zip: dict[str, list[Any]] = field(default_factory=dict)
    fit: FitSettings | None = None
    evaluate: EvaluateSettings | None = None
    transfer: TransferSettings | None = None
    budget: Budget = field(default_factory=Budget)

    def __post_init__(self) -> None:
        check_name("name", self.name)
        lengths = {key: len(values) for key, values in self.zip.items()}
        if len(set(lengths.values())) > 1:
            listed = ", ".join(f"{key} has {length}" for key, length in lengths.items())
            raise ValueError(f"zip: lists walked together need one length, but {listed} values")
        for key, values in {**self.product, **self.zip}.items():
            if not values:
                raise ValueError(f"{key} has no values: give at least one, or leave the key out")
        if both := set(self.product) & set(self.zip):
            raise ValueError(f"{', '.join(sorted(both))} stands in product and in zip: keep one of them")
        given = [name for name in ("fit", "evaluate", "transfer") if getattr(self, name) is not None]
        if len(given) > 1:
            raise ValueError(
                f"{' and '.join(given)} are given together: a report answers one question, keep one of them"
            )

    @property
    def reading(self) -> FitSettings | EvaluateSettings | TransferSettings:
        """What its report makes of its runs."""
        return self.fit or self.evaluate or self.transfer or FitSettings()


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One run, and the overrides that make it differ from the others of its study."""

    run_id: str
    overrides: tuple[str, ...]
    spec: RunSpec


@dataclass(frozen=True, kw_only=True)
class StudyCell(Cell):
    """`config` is what the overrides gave before its rules became the numbers of `spec`."""

    config: RunConfig


_MAY_BE_EMPTY = ("fit", "evaluate", "transfer", "budget")


def study_names() -> list[str]:
    return sorted(file.stem for file in packaged("sweeps").glob("*.yaml"))


def is_study(text: str) -> bool:
    return _is_path(text) or text in study_names()


def _is_path(text: str) -> bool:
    return "/" in text or text.endswith((".yaml", ".yml"))


def load_study(name_or_path: str) -> Study:
    """A packaged study by name, or the user's own by path (anything with a / or ending in .yaml).

    Raises:
        UserError: unknown name, missing file, YAML that cannot be read, unknown or wrong key.
    """
    is_path = _is_path(name_or_path)
    path = Path(name_or_path) if is_path else packaged("sweeps") / f"{name_or_path}.yaml"
    if not path.is_file():
        if is_path:
            raise UserError(f"study file {name_or_path} does not exist; give a path to a YAML file or one of: "
                            f"{', '.join(study_names())}")  # fmt: skip
        raise unknown("study", name_or_path, study_names(), hint="A path to your own YAML file works too.")
    try:
        # OmegaConf's reader, not plain YAML 1.1: it refuses a key that stands twice, reads 1e-3 as a number, and leaves
        # dates as text.
        values = OmegaConf.to_container(OmegaConf.load(path))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f" line {mark.line + 1}" if mark else ""
        raise UserError(f"study file {path}{place}: not valid YAML: {getattr(error, 'problem', error)}") from None
    except (OmegaConfBaseException, UnicodeDecodeError, OSError) as error:
        raise UserError(f"study file {path}: {' '.join(str(error).split())}") from None
    if not isinstance(values, dict):
        raise UserError(f"study file {path}: it must be a mapping with product, zip, overrides, fit")
    # A heading without anything below it says nothing.
    given = {str(key): value for key, value in values.items() if value is not None or key not in _MAY_BE_EMPTY}
    return from_mapping(Study, {"name": path.stem} | given, where=f"study {path.stem}")


def expand(
    study: Study, extra: Sequence[str] = (), visit: Callable[[StudyCell], None] | None = None
) -> list[StudyCell]:
    """The cells of a study, each once; `extra` overrides win over the study's own.

    `visit` is called with each cell while what counting its model has built is still at hand.

    Raises:
        UserError: when a cell is impossible, naming the cell.
    """
    replaced = {override.get_key_element() for override in parse_overrides(extra)}
    axes: list[list[tuple[Setting, ...]]] = [
        [(plain_setting(key, value),) for value in values]
        for key, values in study.product.items()
        if key not in replaced
    ]
    zipped = {key: values for key, values in study.zip.items() if key not in replaced}
    if zipped:
        axes.append([tuple(map(plain_setting, zipped, row)) for row in zip(*zipped.values(), strict=True)])
    cells: dict[str, StudyCell] = {}
    composer, common, last = Composer(), settings_of(study.overrides), settings_of(extra)
    for combination in itertools.product(*axes):
        settings = list(itertools.chain.from_iterable(combination))
        own = tuple(setting.text for setting in settings)
        try:
            config = composer.config([*common, *settings, *last])
            spec = resolve(config)
        except UserError as error:
            if not own:
                raise
            raise UserError(f"study {study.name}, cell {' '.join(own)}: {error}") from None
        identity = run_id(spec)
        twin = cells.setdefault(identity, StudyCell(run_id=identity, overrides=own, config=config, spec=spec))
        if visit is not None:
            visit(twin)
        if twin.spec != spec:
            raise UserError(
                f"study {study.name}: cells {' '.join(twin.overrides)} and {' '.join(own)} are one run, since they "
                "differ only in how it is carried out (execution, wandb, paths): take that key out of product and zip"
            )
    return list(keeping_trunks(cells).values())


def keeping_trunks(cells: Mapping[str, StudyCell]) -> dict[str, StudyCell]:
    """The same cells, by run id, where those that share a trunk know at which steps the others leave it."""
    keep = steps_to_keep({identity: cell.spec for identity, cell in cells.items()})
    kept = dict(cells)
    for identity, steps in keep.items():
        spec = cells[identity].spec
        together = tuple(sorted({*spec.execution.branch_steps, *steps}))
        execution = replace(spec.execution, branch_steps=together)
        kept[identity] = replace(cells[identity], spec=replace(spec, execution=execution))
    return kept


def expand_multirun(overrides: Sequence[str]) -> list[StudyCell]:
    """`archscale train -m a=1,2 b=range(3)`: Hydra's sweep grammar as a study without a file."""
    fixed, product = [], {}
    for override in parse_overrides(overrides):
        if override.is_sweep_override():
            try:
                product[override.get_key_element()] = [HydraText(value) for value in override.sweep_string_iterator()]
            except HydraException:
                raise UserError(
                    f"override {override.input_line!r}: this kind of sweep has no list of values; use commas, "
                    "choice(…) or range(…)"
                ) from None
        else:
            fixed.append(override.input_line or "")
    return expand(Study(name="multirun", overrides=tuple(fixed), product=product))


def plain_overrides(overrides: Sequence[str]) -> list[str]:
    """Without the ones that have several values."""
    return [text for text in overrides if not parse_overrides([text])[0].is_sweep_override()]
