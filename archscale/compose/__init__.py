"""Hydra composition: groups of `conf/` and overrides to a typed RunConfig, and from there to a frozen RunSpec.

    overrides ─Hydra─▶ plain values ─validate─▶ RunConfig ─resolve─▶ RunSpec

Compositions are cached by their choice of groups, and plain values are set afterwards, so that a study of many cells
pays for Hydra once per combination of groups.
"""

from archscale.compose.composer import Composer
from archscale.compose.config import ClusterConfig, RunConfig
from archscale.compose.groups import compose_groups, group_file, groups
from archscale.compose.overrides import HydraText, Setting, parse_overrides, plain_setting, quoted, settings_of
from archscale.compose.resolve import load_config, load_spec, named_arch, resolve
from archscale.compose.stack import normalised_stack

__all__ = [
    "ClusterConfig",
    "Composer",
    "HydraText",
    "RunConfig",
    "Setting",
    "compose_groups",
    "group_file",
    "groups",
    "load_config",
    "load_spec",
    "named_arch",
    "normalised_stack",
    "parse_overrides",
    "plain_setting",
    "quoted",
    "resolve",
    "settings_of",
]
