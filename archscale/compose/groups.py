"""The Hydra groups of `conf/`, and their composition, once for every choice of groups."""

from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml
from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from archscale.compose.overrides import quoted
from archscale.paths import conf_folders, packaged
from archscale.registry import UserError

Choices = tuple[tuple[str, str], ...]


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


@lru_cache(maxsize=256)
def compose_groups(choices: Choices, folders: tuple[Path, ...]) -> dict[str, Any]:
    """Plain values, which must not be changed: they are kept."""
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
