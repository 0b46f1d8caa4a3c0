"""How long a run trains, with which batch and rates: the rules of the base point d0, N0, T0, B0, η0.

    tokens T   tokens, or tokens_per_param · N, or T0 · N / N0 where both are null; where target_flops C is given for a
               size that is decided otherwise, C / 6N. N by token_count: modules, paper or total
    batch B    batch_tokens, or B0 · (T / T0)^batch_exponent in whole sequences
    steps      T / B, rounded
    η, λ       of the parametrization: it is given η0, λ0, B / B0 and T / T0

Ren et al. 2025 (arXiv 2507.06607), section 3.1: T = T0 · N(d) / N(d0), B = B0; B0 · √(T / T0) is an ablation of it.
"""

import dataclasses

from archscale.parametrizations import Parametrization, Shape
from archscale.registry import UserError
from archscale.scaling.config import MOST_TOKENS, OptimConfig, ScaleConfig, TokenCount
from archscale.scaling.ladder import NamedArch, base_count, counted
from archscale.spec import AdamWChoice, ArchSpec, OptimSpec, ParametrizationSpec, ScaleSpec, from_fields


def training_tokens(
    config: ScaleConfig,
    arch: ArchSpec,
    scale: ScaleSpec,
    vocab_size: int,
    named: NamedArch | None = None,
    count: TokenCount | None = None,
) -> float:
    """T as the rules ask for it, before it is cut into batches; `count` in place of the rules' own token_count.

    Raises:
        UserError: for more tokens than anybody can mean.
    """
    tokens = _tokens_by_rule(config, arch, scale, vocab_size, named, count or config.token_count)
    if tokens > MOST_TOKENS:
        raise UserError(
            f"{tokens:g} training tokens: the most that can be asked for are 1e18, so lower {_token_fields(config)[-1]}"
        )
    return tokens


def _tokens_by_rule(
    config: ScaleConfig, arch: ArchSpec, scale: ScaleSpec, vocab_size: int, named: NamedArch | None, count: TokenCount
) -> float:
    if config.tokens is not None:
        return config.tokens
    parameters = counted(arch, scale, vocab_size, count)
    if config.tokens_per_param is not None:
        return config.tokens_per_param * parameters
    if config.flops_decide_tokens:
        return (config.target_flops or 0.0) / (6 * parameters)
    return (config.base.tokens or 0.0) * parameters / base_count(config, vocab_size, named, count)


def batch_of(config: ScaleConfig, tokens: float, sequence_length: int) -> int:
    """Tokens of one batch.

    Raises:
        UserError: when a batch that is given is not whole sequences.
    """
    if config.batch_tokens is None and config.batch_exponent and config.base.tokens is not None:
        wished = config.base.batch_tokens * (tokens / config.base.tokens) ** config.batch_exponent
        return max(1, round(wished / sequence_length)) * sequence_length
    batch = config.base.batch_tokens if config.batch_tokens is None else config.batch_tokens
    if batch % sequence_length:
        near = max(1, round(batch / sequence_length)) * sequence_length
        raise UserError(
            f"{_batch_field(config)} = {batch} is not divisible by data.sequence_length = {sequence_length}: "
            f"use e.g. {near}"
        )
    return batch


def steps_of(config: ScaleConfig, tokens: float, batch_tokens: int) -> int:
    """
    Raises:
        UserError: when the tokens make less than one batch.
    """
    if tokens < batch_tokens:
        lower = _batch_field(config)
        raise UserError(
            f"{tokens:g} training tokens are less than one batch of {lower} = {batch_tokens}: raise "
            f"{' or '.join(_token_fields(config))}, or lower {lower}"
        )
    return round(tokens / batch_tokens)


def _batch_field(config: ScaleConfig) -> str:
    return "scale.base.batch_tokens" if config.batch_tokens is None else "scale.batch_tokens"


def plan_optim(
    optim: OptimConfig,
    config: ScaleConfig,
    tokens: float,
    sequence_length: int,
    parametrization: tuple[ParametrizationSpec, Parametrization, Shape, Shape],
) -> OptimSpec:
    """Batch, steps, warm-up, global learning rate and weight decay at this scale.

    Raises:
        UserError: when the tokens make less than one batch, a batch is not whole sequences, or the rules need a T0
            that is not given.
    """
    batch_tokens = batch_of(config, tokens, sequence_length)
    steps = steps_of(config, tokens, batch_tokens)
    if optim.warmup_tokens is not None:
        warmup = min(steps, round(optim.warmup_tokens / batch_tokens))
    else:
        warmup = round((optim.warmup_fraction or 0.0) * steps)
    spec, rules, at, base = parametrization
    if spec.token_exponent and config.base.tokens is None:
        raise UserError(
            f"parametrization.token_exponent = {spec.token_exponent:g} scales the learning rate by training tokens "
            "over those of the base point: set scale.base.tokens"
        )
    rate = rules.learning_rate(
        config.base.learning_rate,
        at=at,
        base=base,
        batch_ratio=batch_tokens / config.base.batch_tokens,
        token_ratio=tokens / config.base.tokens if config.base.tokens else 1.0,
    )
    shared = {entry.name: getattr(optim, entry.name) for entry in dataclasses.fields(AdamWChoice)}
    decay = rules.weight_decay(optim.weight_decay, base_rate=config.base.learning_rate, rate=rate)
    own = {"learning_rate": rate, "batch_tokens": batch_tokens, "steps": steps, "warmup_steps": warmup}
    return from_fields(OptimSpec, shared | {"weight_decay": decay} | own, where="optim")


def _token_fields(config: ScaleConfig) -> list[str]:
    if config.tokens is not None:
        return ["scale.tokens"]
    if config.tokens_per_param is not None:
        return ["scale.tokens", "scale.tokens_per_param"]
    return ["scale.target_flops"] if config.flops_decide_tokens else ["scale.base.tokens"]
