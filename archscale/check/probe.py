"""One small model, trained for a few steps on one batch, and the sizes of what moved.

    a kind's branches   S_k = m · √(d/n_k) · Σ_l f_l(norm(x_l))   over the n_k of d layers that are of kind k
    size and change     rms(S_t)        rms(S_t − S_0)            over tokens and coordinates, after t steps
    the logits' change  m (h_t W_tᵀ − h_0 W_0ᵀ) = m h_t (W_t − W_0)ᵀ + m (h_t − h_0) W_0ᵀ
                                                  by the head          by the stream
    a parameter's part  rms(S_t − S_t with this parameter as it was at step 0, inputs as they are)

m is the parametrization's multiplier of branches or logits, x_l the residual stream, h its last norm, W the head, and
√(d/n_k) makes kinds of few layers comparable over depth. The part of a branch's last matrix is ‖ΔW x‖; parameters of
one name in layers of one kind go back together. Coordinate checks: Yang et al. 2022 (arXiv 2203.03466), appendix D.1.

Shapes: B batch, T positions, D width, V vocabulary.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from math import sqrt
from typing import Any, cast

import torch
from torch import Tensor, nn

from archscale.model.block import Block
from archscale.model.initialize import initialize
from archscale.model.lm import LanguageModel
from archscale.model.mixers.differential import DifferentialCore
from archscale.spec import RunSpec
from archscale.train.optim import build_optimizer, set_learning_rate

MLP, STREAM, LOGITS = "mlp", "residual stream", "logits"
BY_HEAD, BY_STREAM = "logits, by the head", "logits, by the stream"
EMBEDDING, HEAD, FINAL_NORM = "embedding", "head", "final norm"

Sizes = dict[str, float]


@dataclass(frozen=True, kw_only=True)
class Probe:
    """`sizes` at initialisation and after each step, `changes` after each step, `parts` after the last.

    `factors`: of a kind, what its layers multiply their outputs by at every step, in the mean square over them: the
    1 − λ₀ of differential attention, which falls from layer to layer.
    """

    sizes: tuple[Sizes, ...]
    changes: tuple[Sizes, ...]
    parts: Sizes
    factors: Sizes


@dataclass(kw_only=True)
class Pass:
    """One forward pass: quantities by name, and what modules were given."""

    quantities: dict[str, Tensor] = field(default_factory=dict)
    inputs: dict[nn.Module, tuple[Any, ...]] = field(default_factory=dict)


def probe(spec: RunSpec, tokens_BT: Tensor, *, parts: bool = True, dtype: torch.dtype = torch.float32) -> Probe:
    """Train `spec.optim.steps` steps to predict each next token of `tokens_BT`."""
    model = LanguageModel(spec)
    initialize(model, spec)
    model.to(dtype)
    start = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    optimizer = build_optimizer(model, spec)
    inputs_BT, targets_BT = tokens_BT[:, :-1], tokens_BT[:, 1:]
    first = now = observe(model, inputs_BT)
    sizes, changes = [_rms(first.quantities)], []
    for step in range(spec.optim.steps):
        set_learning_rate(optimizer, spec, step)
        optimizer.zero_grad(set_to_none=True)
        model.loss(inputs_BT, targets_BT).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), spec.optim.grad_clip)
        optimizer.step()
        now = observe(model, inputs_BT)
        sizes.append(_rms(now.quantities))
        changed = {name: value - first.quantities[name] for name, value in now.quantities.items()}
        changes.append(_rms(changed | change_of_logits(model, first, now, start)))
    return Probe(
        sizes=tuple(sizes),
        changes=tuple(changes),
        parts=parts_of(model, now, start) if parts else {},
        factors=factors_of(model),
    )


def _rms(values: dict[str, Tensor]) -> Sizes:
    return {name: value.double().square().mean().sqrt().item() for name, value in values.items()}


@torch.no_grad()
def observe(model: LanguageModel, tokens_BT: Tensor) -> Pass:
    seen = Pass()
    sums: dict[str, Tensor] = {}

    def keep(module: nn.Module, inputs: tuple[Any, ...]) -> None:
        # A mixer writes into the shared tensors it is given: kept is what it read.
        seen.inputs[module] = tuple(dict(part) if isinstance(part, dict) else part for part in inputs)

    def add(kind: str, scale: float) -> Callable[..., None]:
        def run(_: nn.Module, __: Any, output: Any) -> None:
            added_BTD = scale * (output[0] if isinstance(output, tuple) else output)
            sums[kind] = sums[kind] + added_BTD if kind in sums else added_BTD

        return run

    handles = [module.register_forward_pre_hook(keep) for module in (model.embedding, model.norm)]
    for kind, block, scale in _branches(model):
        branch = block.mlp if kind == MLP else block.mixer
        handles += [part.register_forward_pre_hook(keep) for part in (_norm(kind, block), branch)]
        handles.append(branch.register_forward_hook(add(kind, scale)))
    try:
        logits_BTV = model(tokens_BT)
    finally:
        for handle in handles:
            handle.remove()
    seen.quantities = {**sums, STREAM: seen.inputs[model.norm][0], LOGITS: logits_BTV}
    return seen


@torch.no_grad()
def change_of_logits(model: LanguageModel, first: Pass, now: Pass, start: dict[str, Tensor]) -> dict[str, Tensor]:
    name, weight_VD = _head(model)
    before_VD, h_BTD = start[name], _last_norm(model, now)
    with _put_back(model, start, [n for n in start if n.startswith("norm.")]):
        first_BTD = _last_norm(model, first)
    return {BY_HEAD: h_BTD @ (weight_VD - before_VD).T, BY_STREAM: (h_BTD - first_BTD) @ before_VD.T}


@torch.no_grad()
def parts_of(model: LanguageModel, now: Pass, start: dict[str, Tensor]) -> Sizes:
    sums: dict[str, Tensor] = {}
    name_of = {parameter: name for name, parameter in model.named_parameters()}
    for kind, block, scale in _branches(model):
        norm, branch = _norm(kind, block), block.mlp if kind == MLP else block.mixer
        (x_BTD,), (_, *rest) = now.inputs[norm], now.inputs[branch]

        def run(norm: nn.Module = norm, branch: nn.Module = branch, x_BTD: Tensor = x_BTD, rest: Any = rest) -> Tensor:
            output = branch(norm(x_BTD), *(dict(part) if isinstance(part, dict) else part for part in rest))
            return output[0] if isinstance(output, tuple) else output

        now_BTD = run()
        named = [*branch.named_parameters(), *((f"norm.{name}", p) for name, p in norm.named_parameters())]
        for name, parameter in named:
            with _put_back(model, start, [name_of[parameter]]):
                part_BTD, key = scale * (now_BTD - run()), f"{kind}.{name}"
            sums[key] = sums[key] + part_BTD if key in sums else part_BTD
    (tokens_BT,) = now.inputs[model.embedding]
    moved_VD = model.embedding.weight - start[name_of[model.embedding.weight]]
    name, weight_VD = _head(model)
    h_BTD = _last_norm(model, now)
    sums |= {EMBEDDING: moved_VD[tokens_BT], HEAD: h_BTD @ (weight_VD - start[name]).T}
    for name, parameter in model.norm.named_parameters():
        with _put_back(model, start, [name_of[parameter]]):
            sums[f"{FINAL_NORM}.{name}"] = (h_BTD - _last_norm(model, now)) @ weight_VD.T
    return _rms(sums)


@contextmanager
def _put_back(model: LanguageModel, start: dict[str, Tensor], names: list[str]) -> Iterator[None]:
    parameters = {name: model.get_parameter(name) for name in names}
    kept = {name: parameter.detach().clone() for name, parameter in parameters.items()}
    for name, parameter in parameters.items():
        parameter.copy_(start[name])
    try:
        yield
    finally:
        for name, parameter in parameters.items():
            parameter.copy_(kept[name])


def _branches(model: LanguageModel) -> Iterator[tuple[str, Block, float]]:
    """Kind, block and m · √(d/n) of every branch."""
    depth, counts = len(model.layers), Counter(layer.mixer for layer in model.layers)
    for layer, block in zip(model.layers, cast("list[Block]", list(model.blocks)), strict=True):
        yield layer.mixer, block, block.residual * sqrt(depth / counts[layer.mixer])
        yield MLP, block, block.residual


def _norm(kind: str, block: Block) -> nn.Module:
    return block.mlp_norm if kind == MLP else block.mixer_norm


def _head(model: LanguageModel) -> tuple[str, Tensor]:
    if model.head is None:
        return "embedding.weight", model.embedding.weight
    return "head.weight", model.head.weight


def _last_norm(model: LanguageModel, seen: Pass) -> Tensor:
    """h_BTD with the logits' multiplier."""
    return model.norm(seen.inputs[model.norm][0]) * model.spec.multipliers.logits


def factors_of(model: LanguageModel) -> Sizes:
    squares: dict[str, list[float]] = defaultdict(list)
    for layer, block in zip(model.layers, cast("list[Block]", list(model.blocks)), strict=True):
        core = getattr(block.mixer, "core", None)
        squares[layer.mixer].append((1 - core.mix_initial) ** 2 if isinstance(core, DifferentialCore) else 1.0)
    return {kind: sqrt(sum(values) / len(values)) for kind, values in squares.items()}
