"""Rules to numbers: a RunConfig to the frozen RunSpec of one run."""

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

from archscale.compose.composer import Composer
from archscale.compose.config import RunConfig
from archscale.compose.groups import groups
from archscale.compose.overrides import settings_of
from archscale.data.sources import content_hash
from archscale.data.tokenizing import TOKENIZERS
from archscale.parametrizations import of_shape
from archscale.paths import conf_folders
from archscale.registry import unknown
from archscale.scaling.config import TokenCount
from archscale.scaling.ladder import counted, ladder_width, scale_to
from archscale.scaling.survey import survey
from archscale.scaling.tokens import batch_of, plan_optim, steps_of, training_tokens
from archscale.spec import ArchSpec, DataSpec, FlopsAccounting, RunSpec, ScaleSpec, fields_of, from_fields

AXIS_ARCH = "transformer_pp"


def load_config(overrides: Sequence[str]) -> RunConfig:
    """Compose and validate.

    Raises:
        UserError: one line naming the key, the value, and the choices or near names.
    """
    return Composer().config(settings_of(overrides))


def load_spec(overrides: Sequence[str]) -> RunSpec:
    """Overrides to RunSpec, in one step."""
    return resolve(load_config(overrides))


def resolve(config: RunConfig) -> RunSpec:
    """Numbers from rules: depth, width, heads, tokens, batch, steps and learning rate.

    Raises:
        UserError: when the combination is impossible, naming the key to change.
    """
    vocab_size = TOKENIZERS[config.data.tokenizer].vocab_size
    scale = scale_to(config.scale, config.arch, vocab_size, named_arch)
    # Refuses what cannot be built, and spares later counts of parameters and FLOPs to build it again.
    survey(config.arch, scale, vocab_size, config.data.sequence_length)
    tokens = training_tokens(config.scale, config.arch, scale, vocab_size, named_arch)
    rules, at, base = of_shape(config.parametrization, scale, tied=config.arch.tie_embeddings)
    parametrization = (config.parametrization, rules, at, base)
    found = {"content_hash": content_hash(config.data.source, config.data.path), "vocab_size": vocab_size}
    fields = {
        "arch": config.arch,
        "scale": scale,
        "parametrization": config.parametrization,
        "data": from_fields(DataSpec, fields_of(config.data) | found, where="data"),
        "optim": plan_optim(config.optim, config.scale, tokens, config.data.sequence_length, parametrization),
        "execution": config.execution,
        "wandb": config.wandb,
        "axis_flops": axis_flops(config, scale, vocab_size),
    }
    rest = {name: getattr(config, name) for name in ("seed", "precision", "flops_accounting")}
    return from_fields(RunSpec, fields | rest, where="run")


def axis_flops(config: RunConfig, scale: ScaleSpec, vocab_size: int) -> float | None:
    """6·N·T of Transformer++ at the rung of `scale`, with the width and the tokens that the rules give it there.

    N is the non-embedding count that scale.token_count names. None where no number speaks of this axis.
    """
    if config.flops_accounting != FlopsAccounting.TRANSFORMER_AXIS:
        return None
    peer = named_arch(AXIS_ARCH, "architecture")
    rung = replace(config.scale, depth=scale.depth)
    if rung.width is not None:
        rung = replace(rung, width=ladder_width(rung, peer))
    shape = scale_to(rung, peer, vocab_size, named_arch)
    tokens = training_tokens(rung, peer, shape, vocab_size, named_arch)
    batch_tokens = batch_of(rung, tokens, config.data.sequence_length)
    count: TokenCount = "paper" if config.scale.token_count == "paper" else "modules"
    return 6 * counted(peer, shape, vocab_size, count) * steps_of(rung, tokens, batch_tokens) * batch_tokens


def named_arch(name: str, key: str) -> ArchSpec:
    """An architecture as its file says: overrides of arch are those of a cell, not of what it is compared with.

    Raises:
        UserError: for a name that is no choice of arch; `key` is what it was given for.
    """
    return _arch(name, key, tuple(conf_folders()))


@lru_cache(maxsize=64)
def _arch(name: str, key: str, folders: tuple[Path, ...]) -> ArchSpec:
    choices = groups()["arch"]
    if name not in choices:
        raise unknown(key, name, choices, hint="See `archscale list arch`.")
    return load_config([f"arch={name}"]).arch
