"""Hydra composition, once: groups of `conf/` and overrides to a typed RunConfig, and from there to a frozen RunSpec.

    overrides ─Hydra─▶ plain values ─validate─▶ RunConfig ─resolve─▶ RunSpec

Compositions are cached by their choice of groups, and plain values are set afterwards, so that a study of many cells
pays for Hydra once per combination of groups.
"""

import copy
import re
from collections.abc import Iterable, Sequence
from dataclasses import field
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import yaml
from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic.dataclasses import dataclass

from archscale.data.sources import content_hash
from archscale.data.tokenizing import TOKENIZERS
from archscale.parametrizations import PARAMETRIZATIONS, Shape
from archscale.paths import conf_folders, packaged
from archscale.registry import UserError, unknown
from archscale.scaling.count import count_parameters
from archscale.scaling.ladder import OptimConfig, ScaleConfig, plan_optim, scale_to
from archscale.spec import (
    STRICT,
    ArchSpec,
    DataChoice,
    DataSpec,
    ExecutionSpec,
    FlopsAccounting,
    ParametrizationSpec,
    RunSpec,
    WandbSpec,
    from_mapping,
    to_json,
)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class ClusterConfig:
    """Where runs are launched; never part of a run."""

    name: str
    max_parallel_runs: int | None = None
    restarts: int = 3

    def __post_init__(self) -> None:
        if self.max_parallel_runs is not None and self.max_parallel_runs < 1:
            raise ValueError(f"cluster.max_parallel_runs = {self.max_parallel_runs}: use at least 1, or null")
        if self.restarts < 0:
            raise ValueError(f"cluster.restarts = {self.restarts}: use 0 or more")


@dataclass(frozen=True, kw_only=True, config=STRICT)
class RunConfig:
    """The composed configuration: rules and wishes, not yet numbers."""

    arch: ArchSpec
    parametrization: ParametrizationSpec
    scale: ScaleConfig
    data: DataChoice
    optim: OptimConfig
    cluster: ClusterConfig
    seed: int = 0
    precision: Literal["float32", "bfloat16"] = "float32"
    flops_accounting: FlopsAccounting = FlopsAccounting.SIX_ND_NON_EMBEDDING
    execution: ExecutionSpec = field(default_factory=ExecutionSpec)
    wandb: WandbSpec = field(default_factory=WandbSpec)
    debug: dict[str, Any] = field(default_factory=dict)


def groups() -> dict[str, list[str]]:
    """The Hydra groups of `conf/` and their choices, the user's own included.

    Raises:
        UserError: when a file of the user's has the name of a packaged one: Hydra would silently take the latter.
    """
    names = [entry.name for entry in sorted(packaged("conf").iterdir()) if entry.is_dir()]
    found: dict[str, list[str]] = {}
    for name in names:
        choices = [file.stem for folder in conf_folders() for file in (folder / name).glob("*.yaml")]
        if twice := {choice for choice in choices if choices.count(choice) > 1}:
            raise UserError(
                f"{name}/{min(twice)}.yaml in --conf has the name of a packaged choice: give it another name"
            )
        found[name] = sorted(choices)
    return found


def group_file(group: str, choice: str) -> Path:
    return next(path for folder in conf_folders() if (path := folder / group / f"{choice}.yaml").exists())


def parse_overrides(overrides: Iterable[str]) -> list[Override]:
    """Hydra's override grammar.

    Raises:
        UserError: for text that the grammar refuses, additions (+) and deletions (~).
    """
    parsed = []
    for text in overrides:
        try:
            override = OverridesParser.create().parse_override(text)
        except HydraException as error:
            reason = str(error).splitlines()[0]
            raise UserError(f"override {text!r}: {reason}; write KEY=VALUE, e.g. scale.depth=12") from None
        if override.is_add() or override.is_delete() or override.is_force_add():
            raise UserError(f"override {text!r}: every key exists already; write KEY=VALUE without + or ~")
        parsed.append(override)
    return parsed


def quoted(text: str) -> str:
    """A string in Hydra's override grammar, whatever characters it has."""
    # Inside single quotes a backslash counts only before a quote, or at the end, where it would escape the closing one.
    escaped = re.sub(r"(\\*)('|$)", lambda found: found[1] * 2 + ("\\'" if found[2] else ""), text)
    return f"'{escaped}'"


def load_config(overrides: Sequence[str]) -> RunConfig:
    """Compose and validate.

    Raises:
        UserError: one line naming the key, the value, and the choices or near names.
    """
    choices: dict[str, str] = {}
    values: list[tuple[str, Any]] = []
    available = groups()
    for override in parse_overrides(overrides):
        if override.is_sweep_override():
            raise UserError(
                f"override {override.input_line!r} has several values: use `archscale train -m`, or the product or zip "
                "section of a study"
            )
        key = override.get_key_element()
        if key in available:
            choice = str(override.value())
            if choice not in available[key]:
                raise unknown(key, choice, available[key], hint=f"See `archscale list {key}`.")
            choices[key] = choice
        else:
            values.append((key, override.value()))
    composed = _compose_groups(tuple(sorted(choices.items())), tuple(conf_folders()))
    composed = copy.deepcopy(composed)
    for key, value in values:
        _set(composed, key, value)
    composed["arch"]["stack"] = normalised_stack(composed["arch"].get("stack", []))
    composed["debug"] = composed.get("debug") or {}
    return from_mapping(RunConfig, composed, where="configuration")


@lru_cache(maxsize=256)
def _compose_groups(choices: tuple[tuple[str, str], ...], folders: tuple[Path, ...]) -> dict[str, Any]:
    GlobalHydra.instance().clear()
    *own, package = folders
    search = [f"hydra.searchpath=[{','.join(quoted(f'file://{folder}') for folder in own)}]"] if own else []
    try:
        with initialize_config_dir(version_base="1.3", config_dir=str(package)):
            composed = hydra_compose("config", [*search, *(f"{group}={choice}" for group, choice in choices)])
        values = OmegaConf.to_container(composed, resolve=True)
    except (HydraException, OmegaConfBaseException, yaml.YAMLError) as error:
        chosen = " ".join(f"{group}={choice}" for group, choice in choices)
        reason = " ".join(str(error).split())
        raise UserError(f"configuration {chosen}: {reason}") from None
    assert isinstance(values, dict)
    for group, choice in choices:
        if not isinstance(values.get(group) or {}, dict):
            raise UserError(f"{group_file(group, choice)}: it must be a mapping of the fields of {group}")
    return {str(key): value for key, value in values.items()}


def _set(values: dict[str, Any], key: str, value: Any) -> None:
    """Set a dotted key; whether it exists is left to validation, which knows the fields that YAML need not name."""
    *path, last = key.split(".")
    here = values
    for depth, part in enumerate(path):
        here = here.setdefault(part, {})
        if not isinstance(here, dict):
            parent = ".".join(path[: depth + 1])
            raise UserError(f"override {key}={value}: {parent} holds the value {here!r}, not a group of keys")
    here[last] = value


def normalised_stack(stack: Any) -> list[dict[str, Any]]:
    """The short form of a tile, `mamba` or `{mamba: {write: memory, state_size: 8}}`, as LayerSpec fields.

    Raises:
        UserError: for anything of another form, shown as it stands in the file.
    """
    if not isinstance(stack, list):
        raise UserError(f"arch.stack = {stack!r}: it must be a list of {{span: …, tile: […]}}")
    for entry in stack:
        if not isinstance(entry, dict) or not isinstance(entry.get("tile"), list):
            raise UserError(f"arch.stack: {entry!r} must be {{span: half|rest|N, tile: [mixer, …]}}")
    return [entry | {"tile": [_normalised_layer(layer) for layer in entry["tile"]]} for entry in stack]


def _normalised_layer(layer: Any) -> dict[str, Any]:
    if isinstance(layer, str):
        return {"mixer": layer}
    if isinstance(layer, dict) and "mixer" in layer:
        return layer
    if isinstance(layer, dict) and len(layer) == 1:
        ((mixer, given),) = layer.items()
        if given is None or isinstance(given, dict):
            options = dict(given or {})
            written = {key: options.pop(key, []) for key in ("write", "mlp_write")}
            writes = {key: [names] if isinstance(names, str) else names for key, names in written.items()}
            return {"mixer": mixer, **writes, "options": options}
    raise UserError(f"arch.stack: {layer!r} must be a mixer's name, or one with options: {{mamba: {{write: memory}}}}")


def resolve(config: RunConfig) -> RunSpec:
    """Numbers from rules: width, heads, tokens, steps and learning rate.

    Raises:
        UserError: when the combination is impossible, naming the key to change.
    """
    tokenizer = TOKENIZERS[config.data.tokenizer]
    rules = PARAMETRIZATIONS[config.parametrization.name](config.parametrization)
    scale = scale_to(config.scale, config.arch, tokenizer.vocab_size, matched(config.scale))
    count = count_parameters(config.arch, scale, tokenizer.vocab_size)
    tied = config.arch.tie_embeddings
    at = Shape(depth=scale.depth, width=scale.width, tied=tied)
    base = Shape(depth=scale.base_depth, width=scale.base_width, tied=tied)
    found = {"content_hash": content_hash(config.data.source, config.data.path), "vocab_size": tokenizer.vocab_size}
    data = from_mapping(DataSpec, to_json(config.data) | found, where="data")
    parts = {
        "arch": config.arch,
        "scale": scale,
        "parametrization": config.parametrization,
        "data": data,
        "optim": plan_optim(config.optim, config.scale, count, (rules, at, base)),
        "execution": config.execution,
        "wandb": config.wandb,
    }
    fields = {name: to_json(part) for name, part in parts.items()}
    rest = {name: getattr(config, name) for name in ("seed", "precision", "flops_accounting")}
    return from_mapping(RunSpec, fields | rest, where="run")


def matched(scale: ScaleConfig) -> ArchSpec | None:
    """The architecture of scale.match_arch as its file says: overrides of arch are those of the cell, not of its peer.

    Raises:
        UserError: for a name that is no choice of arch.
    """
    if scale.match_arch is None:
        return None
    choices = groups()["arch"]
    if scale.match_arch not in choices:
        raise unknown("scale.match_arch", scale.match_arch, choices, hint="See `archscale list arch`.")
    return load_config([f"arch={scale.match_arch}"]).arch


def load_spec(overrides: Sequence[str]) -> RunSpec:
    """Overrides to RunSpec, in one step."""
    return resolve(load_config(overrides))
